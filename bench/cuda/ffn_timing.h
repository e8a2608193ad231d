#pragma once
// Times the CUDA level of moe_ffn on a device, after its answer for a few tokens was compared with the CPU's.
// A template over the device, so that the emulator of the tests can run it on small shapes.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/base/rng.h"
#include "gatewright/kernels/cuda/call.h"
#include "gatewright/kernels/moe_ffn/cuda.h"
#include "gatewright/kernels/moe_ffn/family.h"

namespace gw::bench {

/// SwiGLU layers, k experts per token.
struct CudaShape {
  const char* name;
  int64_t experts, k, in, hidden;
};

struct CudaTiming {
  double forward_s = 0, training_s = 0;  ///< one call; forward and backward
  double forward_flop = 0;               ///< training: three times
};

inline void put(double v, float& to) { to = static_cast<float>(v); }
inline void put(double v, kernels::Bf16& to) {
  to.bits = static_cast<uint16_t>(__builtin_bit_cast(uint32_t, static_cast<float>(v)) >> 16);
}

/// `count` numbers in [-scale, scale), a million different ones: drawing 400 million would take longer than
/// the timing.
template <class T>
std::vector<T> numbers(uint64_t seed, int64_t count, double scale) {
  const Rng rng(seed);
  std::vector<T> out(static_cast<size_t>(count));
  const size_t fresh = std::min<size_t>(out.size(), 1 << 20);
  for (size_t i = 0; i < fresh; ++i) put((rng.uniform(i) * 2 - 1) * scale, out[i]);
  for (size_t i = fresh; i < out.size(); ++i) out[i] = out[i - fresh];
  return out;
}

/// Memory of the CPU's kernels.
class HostMemory : public kernels::Arena {
 public:
  void* take(int64_t bytes) override {
    blocks_.emplace_back(std::aligned_alloc(64, static_cast<size_t>((bytes + 63) / 64 * 64)), std::free);
    return blocks_.back().get();
  }

 private:
  std::vector<std::unique_ptr<void, void (*)(void*)>> blocks_;
};

inline const kernels::FfnLevel<float>& cpu_level(float) { return kernels::moe_ffn_family()(); }
inline const kernels::FfnLevel<kernels::Bf16>& cpu_level(kernels::Bf16) {
  return kernels::moe_ffn_bf16_family()();
}

/// A layer and its rows, on the host: token t goes to the experts (t + j·stride) mod E, which is balanced and
/// gives every token k different ones.
template <class T>
struct CudaLayer {
  CudaShape s;
  std::vector<T> gate, up, down, x;
  std::vector<float> weight;
  std::vector<int64_t> offsets{0}, token;

  CudaLayer(const CudaShape& shape, int64_t tokens) : s(shape) {
    const double inner = 1 / std::sqrt(static_cast<double>(s.in)),
                 outer = 1 / std::sqrt(static_cast<double>(s.hidden));
    gate = numbers<T>(1, s.experts * s.hidden * s.in, inner),
    up = numbers<T>(2, s.experts * s.hidden * s.in, inner);
    down = numbers<T>(3, s.experts * s.in * s.hidden, outer), x = numbers<T>(4, tokens * s.in, 1);
    for (int64_t e = 0; e < s.experts; ++e) {
      for (int64_t t = 0; t < tokens; ++t) {
        if ((e - t % s.experts + s.experts) % s.experts < s.k) token.push_back(t);
      }
      offsets.push_back(static_cast<int64_t>(token.size()));
    }
    weight = numbers<float>(5, static_cast<int64_t>(token.size()), 1);
  }
  int64_t rows() const { return offsets.back(); }
  kernels::FfnProblem<T> problem(int64_t tokens) const {
    kernels::FfnProblem<T> p;
    p.experts = s.experts, p.in = s.in, p.hidden = s.hidden, p.out = s.in, p.tokens = tokens;
    p.offsets = offsets.data(), p.token = token.data(), p.weight = weight.data(), p.x = x.data();
    p.gate.data = gate.data(), p.up.data = up.data(), p.down.data = down.data();
    return p;
  }
};

/// Errors: InternalError unless y's first tokens are the CPU's within 2 % (bf16) or 1e-5 (f32) of the largest
///         value.
template <class T>
void check_first_tokens(const CudaLayer<T>& layer, int64_t tokens, const std::vector<float>& y) {
  std::vector<int64_t> token, offsets{0};
  std::vector<float> weight;
  for (size_t e = 0; e + 1 < layer.offsets.size(); ++e) {
    for (auto r = static_cast<size_t>(layer.offsets[e]); r < static_cast<size_t>(layer.offsets[e + 1]); ++r) {
      if (layer.token[r] < tokens) token.push_back(layer.token[r]), weight.push_back(layer.weight[r]);
    }
    offsets.push_back(static_cast<int64_t>(token.size()));
  }
  auto p = layer.problem(tokens);
  p.offsets = offsets.data(), p.token = token.data(), p.weight = weight.data();
  std::vector<float> want(static_cast<size_t>(tokens * layer.s.in));
  kernels::SerialPool pool;
  HostMemory memory;
  kernels::ffn_forward<T>(cpu_level(T{}), p, want.data(), {}, pool, memory);
  float largest = 0, worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    largest = std::max(largest, std::abs(want[i]));
    worst = std::max(worst, y[i] == y[i] ? std::abs(y[i] - want[i]) : INFINITY);
  }
  GW_ENSURE(worst <= largest * (sizeof(T) == 4 ? 1e-5f : 0.02f), "bench_cuda: {}'s answer is off by {} of {}",
            layer.s.name, worst, largest);
}

/// Seconds per call over `rounds` calls in a row, after one that does not count. The launches of a call wait
/// for nothing, so calls queue up.
template <class Device, class Work>
double seconds(Device& device, int rounds, const Work& work) {
  work();
  GW_ENSURE(device.finish().empty(), "bench_cuda: the device failed: {}", device.finish());
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) work();
  GW_ENSURE(device.finish().empty(), "bench_cuda: the device failed: {}", device.finish());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / rounds;
}

template <class T, class Device>
CudaTiming time_ffn(Device& device, const CudaShape& shape, int64_t tokens, int rounds) {
  const CudaLayer<T> layer(shape, tokens);
  kernels::cuda::Call<Device> memory(device, "bench_cuda");
  const auto upload = [&](const auto& from) {
    using V = typename std::decay_t<decltype(from)>::value_type;
    auto* to = memory.template take<V>(static_cast<int64_t>(from.size()));
    device.copy(to, from.data(), static_cast<int64_t>(from.size() * sizeof(V)));
    return to;
  };
  auto p = layer.problem(tokens);
  p.offsets = upload(layer.offsets), p.token = upload(layer.token), p.weight = upload(layer.weight),
  p.x = upload(layer.x);
  p.gate.data = upload(layer.gate), p.up.data = upload(layer.up), p.down.data = upload(layer.down);
  const int64_t rows = layer.rows(), inner = rows * shape.hidden,
                weights = shape.experts * shape.hidden * shape.in;
  auto *y = memory.template take<float>(tokens * shape.in),
       *dx = memory.template take<float>(tokens * shape.in), *dw = memory.template take<float>(rows);
  const kernels::SavedActivations<T> kept{memory.template take<T>(inner), memory.template take<T>(inner)};
  T* gradient[3];
  for (auto& g : gradient) g = memory.template take<T>(weights);
  const kernels::FfnGradients<T> to{dx, dw, gradient[0], gradient[1], gradient[2], nullptr, nullptr, nullptr};
  CudaTiming out;
  out.forward_flop = 6.0 * static_cast<double>(inner) * static_cast<double>(shape.in);
  out.forward_s = seconds(device, rounds, [&] { kernels::cuda::ffn_forward<T>(device, p, rows, y, {}); });
  std::vector<float> first(static_cast<size_t>(std::min<int64_t>(tokens, 8) * shape.in));
  device.copy(first.data(), y, static_cast<int64_t>(first.size() * sizeof(float)));
  check_first_tokens(layer, std::min<int64_t>(tokens, 8), first);
  out.training_s = seconds(device, rounds, [&] {
    kernels::cuda::ffn_forward<T>(device, p, rows, y, kept);
    kernels::cuda::ffn_backward<T>(device, p, rows, {kept.gate, kept.up}, p.x,
                                   to);  // x for dy: numbers like any
  });
  return out;
}

}  // namespace gw::bench
