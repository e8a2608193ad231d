#include "gatewright/ops/coded.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "gatewright/base/check.h"
#include "gatewright/kernels/codes/family.h"
#include "gatewright/kernels/moe_ffn/coded_columns.h"
#include "gatewright/ops/block_weights.h"
#include "gatewright/ops/coded_call.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/few_bits.h"
#include "gatewright/ops/held_call.h"
#include "gatewright/ops/moe_ffn_problem.h"

namespace gw::ops {
namespace {

constexpr int64_t kLargestSide = 1 << 24;

bool bytes_beside(const at::Tensor& t, int64_t dims) {
  return t.defined() && t.dim() == dims && t.scalar_type() == at::kByte && t.is_contiguous();
}

void check_fp8(const char* part, const CodedMatrix& m) {
  GW_CHECK(bytes_beside(m.codes, 2) && m.rows > 0 && m.columns > 0,
           "{}: expected fp8 codes [R, in] of bytes and blocks of at least one value, got others", part);
  const std::vector<int64_t> wanted{kernels::ceil_div(m.codes.size(0), m.rows),
                                    kernels::ceil_div(m.codes.size(1), m.columns)};
  GW_CHECK(
      m.scales.defined() && m.scales.scalar_type() == at::kFloat && m.scales.is_contiguous() &&
          m.scales.sizes().equals(wanted),
      "{}: expected an f32 scale for every {} by {} codes, [{}], got [{}]; config.json says the sizes of "
      "blocks in quantization_config, weight_block_size",
      part, m.rows, m.columns, fmt::join(wanted, ", "),
      fmt::join(m.scales.defined() ? m.scales.sizes() : at::IntArrayRef(), ", "));
}

void check_mxfp4(const char* part, const CodedMatrix& m) {
  GW_CHECK(bytes_beside(m.codes, 3) && m.codes.size(2) == kernels::kMxfp4Bytes && bytes_beside(m.scales, 2) &&
               m.scales.sizes() == m.codes.sizes().slice(0, 2),
           "{}: expected mxfp4 blocks [R, G, {}] and scales [R, G] of bytes, got [{}] and [{}]", part,
           kernels::kMxfp4Bytes, fmt::join(m.codes.defined() ? m.codes.sizes() : at::IntArrayRef(), ", "),
           fmt::join(m.scales.defined() ? m.scales.sizes() : at::IntArrayRef(), ", "));
}

void check_blocks(const char* part, const CodedMatrix& m) {
  GW_CHECK(m.type != nullptr && bytes_beside(m.codes, 3) && m.codes.size(2) == m.type->bytes,
           "{}: expected blocks [R, B, {}] of bytes, got [{}]", part, m.type == nullptr ? 0 : m.type->bytes,
           fmt::join(m.codes.defined() ? m.codes.sizes() : at::IntArrayRef(), ", "));
  GW_CHECK(m.first == 0 && m.step == 1,
           "{}: expected rows of blocks one after the other, got each {}th from {}", part, m.step, m.first);
}

/// All of one size; gives it.
std::pair<int64_t, int64_t> check_side(const char* name, const std::vector<CodedMatrix>& all,
                                       size_t experts) {
  GW_CHECK(all.size() == experts, "moe_ffn: expected a matrix of {} for each of {} experts, got {}", name,
           experts, all.size());
  const int64_t out = all.front().out, in = all.front().in();
  for (const auto& m : all) {
    check_coded("moe_ffn", m);
    GW_CHECK(m.form != FewBits::blocks,
             "moe_ffn: expected codes of fp8 or mxfp4, got blocks; pack_block_ffn() takes them");
    GW_CHECK(m.out == out && m.in() == in,
             "moe_ffn: expected matrices of {} with [{}, {}] values for all experts, got [{}, {}]", name, out,
             in, m.out, m.in());
  }
  return {out, in};
}

HeldSizes check_layer(const CodedFfn& w) {
  GW_CHECK(!w.up.empty(), "moe_ffn: expected at least one expert in codes, got none");
  const auto experts = w.up.size();
  const auto [hidden, in] = check_side("up", w.up, experts);
  const auto [out, inner] = check_side("down", w.down, experts);
  GW_CHECK(inner == hidden, "moe_ffn: expected down to take the {} values that up gives, got {}", hidden,
           inner);
  if (!w.gate.empty())
    GW_CHECK(check_side("gate", w.gate, experts) == std::make_pair(hidden, in),
             "moe_ffn: expected gate and up of one size, [{}, {}], got others", hidden, in);
  const auto bias = [&](const char* name, const at::Tensor& t, int64_t width) {
    GW_CHECK(!t.defined() || (t.scalar_type() == at::kFloat && t.is_contiguous() &&
                              t.sizes().equals({static_cast<int64_t>(experts), width})),
             "moe_ffn: expected biases of {} [{}, {}] in f32, got others", name, experts, width);
  };
  bias("gate", w.gate_bias, hidden), bias("up", w.up_bias, hidden), bias("down", w.down_bias, out);
  return {static_cast<int64_t>(experts), in, hidden, out};
}

std::vector<kernels::CodedRows> kernel_rows(const std::vector<CodedMatrix>& all) {
  std::vector<kernels::CodedRows> rows;
  for (const auto& m : all) rows.push_back(coded_rows(m));
  return rows;
}

template <class T>
at::Tensor run_coded(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
                     const at::Tensor& weight, const CodedFfn& w, const HeldSizes& sizes,
                     const FfnOptions& options) {
  const auto gate = kernel_rows(w.gate), up = kernel_rows(w.up), down = kernel_rows(w.down);
  const auto side = [](const std::vector<kernels::CodedRows>& rows, const at::Tensor& bias) {
    kernels::FfnWeight<T> one;
    one.coded = rows.empty() ? nullptr : rows.data(), one.bias = data<const float, T>(bias);
    return one;
  };
  const HeldCall<T> call(x, token, weight, options, sizes.experts);
  auto p = call.template problem<kernels::FfnProblem<T>>(sizes, offsets, ffn_bounds(options, !gate.empty()));
  p.gate = side(gate, w.gate_bias), p.up = side(up, w.up_bias), p.down = side(down, w.down_bias);
  auto y = pooled_empty({p.tokens, p.out}, x.options().dtype(at::kFloat));
  if (offsets.back() == 0) return y.zero_().to(Types<T>::value);
  TorchPool pool(ffn_workers(p, false));
  Workspace memory;
  kernels::ffn_forward<T>(Types<T>::level(), p, y.template data_ptr<float>(), {}, pool, memory);
  return y.to(Types<T>::value);
}

int64_t bytes_of(const at::Tensor& t) { return t.defined() ? static_cast<int64_t>(t.nbytes()) : 0; }

}  // namespace

int64_t CodedMatrix::in() const {
  if (form == FewBits::fp8) return codes.size(1);
  return (form == FewBits::blocks ? type->values : kernels::kMxfp4Group) * codes.size(1);
}

int64_t CodedMatrix::bytes() const {
  if (form == FewBits::blocks) return block_panel_bytes(*type, 1, out, in());
  if (form == FewBits::mxfp4) return out * codes.size(1) * (kernels::kMxfp4Bytes + 1);
  const int64_t blocks = kernels::ceil_div(out, rows) * scales.size(1);
  return out * codes.size(1) + blocks * static_cast<int64_t>(sizeof(float));
}

int64_t CodedFfn::bytes() const {
  int64_t sum = bytes_of(gate_bias) + bytes_of(up_bias) + bytes_of(down_bias);
  for (const auto* side : {&gate, &up, &down})
    for (const auto& m : *side) sum += m.bytes();
  return sum;
}

void check_coded(const char* part, const CodedMatrix& m) {
  if (m.form == FewBits::fp8)
    check_fp8(part, m);
  else if (m.form == FewBits::mxfp4)
    check_mxfp4(part, m);
  else
    check_blocks(part, m);
  const int64_t rows = m.codes.size(0);
  GW_CHECK(rows <= kLargestSide && m.out > 0 && m.in() > 0 && m.in() <= kLargestSide,
           "{}: expected matrices in codes of 1 to {} outputs and inputs, got {} and {}", part, kLargestSide,
           m.out, m.in());
  GW_CHECK(m.first >= 0 && m.step > 0 && m.step <= rows && m.first < rows &&
               m.out - 1 <= (rows - 1 - m.first) / m.step,
           "{}: expected outputs among the {} rows of codes, got {} of them from {} in steps of {}", part,
           rows, m.out, m.first, m.step);
}

kernels::CodedRows coded_rows(const CodedMatrix& m) {
  kernels::CodedRows rows;
  rows.table = &kernels::codes_family()();
  const bool fp8 = m.form == FewBits::fp8;
  rows.form = fp8 ? kernels::CodeForm::fp8 : kernels::CodeForm::mxfp4;
  rows.codes = m.codes.data_ptr<uint8_t>(), rows.scales = m.scales.data_ptr();
  rows.stride = m.codes.stride(0), rows.scale_stride = m.scales.stride(0);
  if (fp8) rows.rows = m.rows, rows.columns = m.columns;
  rows.first = m.first, rows.step = m.step;
  return rows;
}

void expand_fp8(const uint8_t* codes, int64_t n, float scale, float* to) {
  kernels::codes_family()().fp8(codes, n, scale, to);
}

void expand_mxfp4(const uint8_t* codes, const uint8_t* exponents, int64_t groups, float* to) {
  kernels::codes_family()().mxfp4(codes, exponents, groups, to);
}

at::Tensor coded_values(const CodedMatrix& m) {
  check_coded("coded_values", m);
  if (m.form == FewBits::blocks) return block_rows(m, at::arange(m.out, at::kLong));
  const auto rows = coded_rows(m);
  auto out = at::empty({m.out, m.in()}, at::kFloat);
  auto* const to = out.data_ptr<float>();
  for (int64_t o = 0; o < m.out; ++o) kernels::expand_lane(rows, o, 0, m.in(), to + o * m.in());
  return out;
}

at::Tensor moe_ffn_coded(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
                         const at::Tensor& weight, const CodedFfn& w, const FfnOptions& options) {
  const auto sizes = check_layer(w);
  GW_CHECK(
      x.defined() && x.dim() == 2 && x.device().is_cpu() && x.size(1) == sizes.in &&
          (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16),
      "moe_ffn: expected x [T, {}] in f32 or bf16 on the CPU for these weights in codes, got {} dimensions "
      "of {}",
      sizes.in, x.defined() ? x.dim() : 0, x.defined() ? c10::toString(x.scalar_type()) : "nothing");
  GW_CHECK(!x.requires_grad() || !at::GradMode::is_enabled(),
           "moe_ffn: expected a call without gradients for weights in codes; use NoGradGuard or "
           "coded_values()");
  check_ffn_rows(x, token, offsets, weight, sizes.experts);
  CostRecorder::add(token.size(0) * sizes.hidden * (sizes.in * (w.gate.empty() ? 1 : 2) + sizes.out));
  return x.scalar_type() == at::kFloat
             ? run_coded<float>(x, token, offsets, weight, w, sizes, options)
             : run_coded<kernels::Bf16>(x, token, offsets, weight, w, sizes, options);
}

}  // namespace gw::ops
