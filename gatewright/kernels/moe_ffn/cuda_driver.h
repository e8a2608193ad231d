#pragma once
// Which kernels a mixture's experts launch on a GPU, and with what memory.
#include "gatewright/kernels/moe_ffn/cuda.h"
#include "gatewright/kernels/moe_ffn/cuda_body.h"
#include "gatewright/kernels/moe_ffn/cuda_sums.h"
#include "gatewright/kernels/moe_ffn/cuda_tokens.h"

namespace gw::kernels::cuda {

/// Errors: IoError for an activation of the catalogue.
template <class T>
void only_fast(const FfnProblem<T>& p) {
  if (p.unit.place >= 0)
    no_launch("moe_ffn/cuda", "the inner products",
              "only the activations of gatewright/kernels/moe_ffn/rows.h have a CUDA level");
}

template <class T, class Device>
void inner_products(Call<Device>& call, const FfnProblem<T>& p, int64_t rows, const RowTiles& tiles,
                    SavedActivations<T> saved, T* h) {
  only_fast(p);
  call.launch("the inner products", most_row_tiles(rows, p.experts) * tiles_of(p.hidden),
              InnerBody<T>{p, tiles, saved, h});
}

template <class T, class Device>
void ffn_forward(Device& device, const FfnProblem<T>& p, int64_t rows, float* y, SavedActivations<T> saved) {
  Call<Device> call(device, "moe_ffn/cuda");
  auto* h = call.template take<T>(rows * p.hidden);
  auto* out = call.template take<float>(rows * p.out);
  const auto tiles = find_row_tiles(call, p.offsets, p.experts);
  inner_products(call, p, rows, tiles, saved, h);
  const RowsFactor<T> by{h, nullptr, p.down.data};
  rows_product(call, "the outer product",
               RowsProduct<T>{p.experts, rows, p.hidden, p.out, p.offsets, {by, {}}, false, p.down.bias, out},
               tiles);
  const auto of_token = find_token_rows(call, p.token, p.offsets + p.experts, rows, p.tokens);
  call.launch("the sums over rows", p.tokens, CombineBody{of_token, p.weight, out, p.out, y});
}

template <class T, class Device>
void ffn_recompute(Device& device, const FfnProblem<T>& p, int64_t rows, SavedActivations<T> saved) {
  Call<Device> call(device, "moe_ffn/cuda");
  inner_products<T>(call, p, rows, find_row_tiles(call, p.offsets, p.experts), saved, nullptr);
}

/// dx: back through up and gate, then from rows to tokens.
template <class T, class Device>
void input_gradient(Call<Device>& call, const FfnProblem<T>& p, int64_t rows, const RowTiles& tiles,
                    const InnerGradients<T>& inner, float* to) {
  auto* of_rows = call.template take<float>(rows * p.in);
  RowsProduct<T> back{p.experts, rows,    p.hidden, p.in, p.offsets, {{inner.up, nullptr, p.up.data}, {}},
                      true,      nullptr, of_rows};
  if (p.gate.given()) back.factor[1] = {inner.gate, nullptr, p.gate.data};
  rows_product(call, "the gradient of rows", back, tiles);
  const auto of_token = find_token_rows(call, p.token, p.offsets + p.experts, rows, p.tokens);
  call.launch("the gradient of tokens", p.tokens, CombineBody{of_token, nullptr, of_rows, p.in, to});
}

template <class T, class Device>
void parameter_gradients(Call<Device>& call, const FfnProblem<T>& p, const InnerGradients<T>& inner,
                         const T* dy, const FfnGradients<T>& to) {
  const auto product = [&](const char* what, const T* left, const int64_t* left_index, int64_t m,
                           const T* right, const int64_t* right_index, int64_t n, T* into) {
    if (into != nullptr)
      groups_product(
          call, what,
          GroupsProduct<T>{p.experts, m, n, p.offsets, left, right, left_index, right_index, into});
  };
  product("the gradient of up", inner.up, nullptr, p.hidden, p.x, p.token, p.in, to.up);
  if (p.gate.given())
    product("the gradient of gate", inner.gate, nullptr, p.hidden, p.x, p.token, p.in, to.gate);
  product("the gradient of down", dy, p.token, p.out, inner.weighted, nullptr, p.hidden, to.down);
  const auto bias = [&](const char* what, const int64_t* index, const float* weight, const T* from,
                        int64_t width, float* into) {
    if (into != nullptr)
      call.launch(what, p.experts * ceil_div(width, 128),
                  BiasGradientBody<T>{p.offsets, index, weight, from, width, into});
  };
  bias("the gradient of up's bias", nullptr, nullptr, inner.up, p.hidden, to.up_bias);
  if (p.gate.given())
    bias("the gradient of gate's bias", nullptr, nullptr, inner.gate, p.hidden, to.gate_bias);
  bias("the gradient of down's bias", p.token, p.weight, dy, p.out, to.down_bias);
}

template <class T, class Device>
void ffn_backward(Device& device, const FfnProblem<T>& p, int64_t rows, SavedActivations<const T> saved,
                  const T* dy, const FfnGradients<T>& to) {
  Call<Device> call(device, "moe_ffn/cuda backward");
  only_fast(p);
  const bool glu = p.gate.given();
  const int64_t all = rows * p.hidden;
  const InnerGradients<T> inner{call.template take<T>(all), call.template take<T>(all),
                                glu ? call.template take<T>(all) : nullptr,
                                call.template take<float>(rows * tiles_of(p.hidden))};
  const auto tiles = find_row_tiles(call, p.offsets, p.experts);
  call.launch("the inner gradients", most_row_tiles(rows, p.experts) * tiles_of(p.hidden),
              InnerGradientBody<T>{p, tiles, saved, dy, inner});
  if (to.weight != nullptr) {
    call.launch("the gradient of routing weights", most_row_tiles(rows, p.experts),
                WeightGradientBody<T>{p, tiles, dy, inner.dots, to.weight});
  }
  if (to.x != nullptr) input_gradient(call, p, rows, tiles, inner, to.x);
  parameter_gradients(call, p, inner, dy, to);
}

}  // namespace gw::kernels::cuda
