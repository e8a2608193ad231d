#include "gatewright/ops/block_weights.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "gatewright/base/check.h"
#include "gatewright/kernels/block_gemm/family.h"
#include "gatewright/kernels/moe_ffn/block_ffn.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/held_call.h"
#include "gatewright/ops/thread_pool.h"

namespace gw::ops {
namespace {

using kernels::kBlockK, kernels::kBlockLanes;
constexpr int64_t kMostValues = 256, kMostGroups = kMostValues / 16;  // of a block

kernels::BlockForm form_of(const BlockType& t) { return {t.bits, t.group, t.minimum, t.offset}; }

void put_half(float value, uint8_t* to, bool& finite) {
  const auto bits = c10::detail::fp16_ieee_from_fp32_value(value);
  finite = finite && (bits & 0x7c00) != 0x7c00;
  std::memcpy(to, &bits, sizeof bits);
}

/// The blocks of all outputs of a panel that cover the same k, in the units that they make.
class UnitWriter {
 public:
  explicit UnitWriter(const BlockType& type) : type_(type), form_(form_of(type)) {}
  void read(const uint8_t* block, int64_t lane) {
    type_.read(block, u_ + lane * kMostValues, scales_ + lane * kMostGroups, minima_ + lane * kMostGroups);
  }
  /// `lanes` of them were read; the others stay as they are in `unit`.
  void write(int64_t lanes, uint8_t* unit) {
    const int64_t groups = kBlockK / type_.group;
    for (int64_t i = 0; i < type_.values / kBlockK; ++i, unit += form_.unit_bytes()) {
      codes(u_ + i * kBlockK, unit);
      uint8_t* to = unit + form_.code_bytes();
      for (const float* from : {scales_, minima_}) {
        if (from == minima_ && !type_.minimum) break;
        for (int64_t g = i * groups; g < (i + 1) * groups; ++g, to += 2 * kBlockLanes)
          for (int64_t lane = 0; lane < lanes; ++lane)
            put_half(from[lane * kMostGroups + g], to + 2 * lane, finite_);
      }
    }
  }
  bool finite() const { return finite_; }

 private:
  static uint32_t four(const uint8_t* u) {
    uint32_t all;
    std::memcpy(&all, u, 4);
    return all;
  }
  /// Of 32 k; lanes that nobody read are 0.
  void codes(const uint8_t* u, uint8_t* unit) const {
    for (int64_t k = 0; k < kBlockK; k += 4) {
      for (int64_t lane = 0; lane < (type_.bits == 4 ? 16 : 32); ++lane, unit += 4) {
        uint32_t quad = four(u + lane * kMostValues + k);
        if (type_.bits == 4) quad |= four(u + (lane + 16) * kMostValues + k) << 4;
        std::memcpy(unit, &quad, 4);
      }
    }
  }

  const BlockType& type_;
  kernels::BlockForm form_;
  uint8_t u_[kBlockLanes * kMostValues] = {};
  float scales_[kBlockLanes * kMostGroups] = {}, minima_[kBlockLanes * kMostGroups] = {};
  bool finite_ = true;
};

/// Panel `panel` of one matrix. Whether all scales fit f16.
bool pack_panel(const CodedMatrix& m, int64_t panel, uint8_t* to) {
  const auto& type = *m.type;
  const int64_t lane0 = panel * kBlockLanes, lanes = std::min(kBlockLanes, m.out - lane0);
  const int64_t covered = type.values / kBlockK * form_of(type).unit_bytes(), stride = m.codes.stride(0);
  const auto* rows = m.codes.data_ptr<uint8_t>() + lane0 * stride;
  UnitWriter writer(type);
  for (int64_t b = 0; b < m.codes.size(1); ++b) {
    for (int64_t lane = 0; lane < lanes; ++lane) writer.read(rows + lane * stride + b * type.bytes, lane);
    writer.write(lanes, to + b * covered);
  }
  return writer.finite();
}

kernels::BlockWeight side(const BlockPanels& p, const at::Tensor& bias) {
  if (!p.defined()) return {};
  return {p.panels.data_ptr<uint8_t>(), bias.defined() ? bias.data_ptr<float>() : nullptr, form_of(*p.type)};
}

/// Rates of one core.
int block_workers(int64_t rows, double values, double bytes) {
  constexpr double kBytes = 20e9, kOperations = 100e9;
  return worthwhile_workers(bytes / kBytes + 2 * static_cast<double>(rows) * values / kOperations);
}

template <class T>
at::Tensor run_dense(const at::Tensor& given, const BlockPanels& w, const at::Tensor& bias) {
  const auto x = given.contiguous();
  const auto y = at::empty({x.size(0), w.out}, x.options());
  kernels::BlockLinearProblem<T> p;
  p.rows = x.size(0), p.in = w.in, p.out = w.out;
  p.x = static_cast<const T*>(x.data_ptr()), p.weight = side(w, bias), p.y = static_cast<T*>(y.data_ptr());
  TorchPool pool(block_workers(p.rows, static_cast<double>(w.in * w.out), static_cast<double>(w.bytes())));
  Workspace memory;
  kernels::block_linear<T>(kernels::block_gemm_family()(), Types<T>::level(), p, pool, memory);
  return y;
}

template <class T>
at::Tensor run_ffn(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
                   const at::Tensor& weight, const BlockFfn& w, const FfnOptions& options) {
  const HeldCall<T> call(x, token, weight, options, w.up.experts);
  auto p = call.template problem<kernels::BlockProblem<T>>({w.up.experts, w.up.in, w.up.out, w.down.out},
                                                           offsets, ffn_bounds(options, w.gate.defined()));
  p.gate = side(w.gate, w.gate_bias), p.up = side(w.up, w.up_bias), p.down = side(w.down, w.down_bias);
  const auto y = pooled_empty({p.tokens, p.out}, x.options().dtype(at::kFloat));
  const int64_t rows = offsets.back();
  if (rows == 0) return y.zero_().to(Types<T>::value);
  const double share = static_cast<double>(std::min(rows, p.experts)) / static_cast<double>(p.experts);
  const double values = static_cast<double>(p.hidden * (p.in * (w.gate.defined() ? 2 : 1) + p.out));
  TorchPool pool(block_workers(rows, values, share * static_cast<double>(w.bytes())));
  Workspace memory;
  kernels::block_forward<T>(kernels::block_gemm_family()(), Types<T>::level(), p,
                            y.template data_ptr<float>(), pool, memory);
  return y.to(Types<T>::value);
}

void check_call(const char* part, const at::Tensor& x, int64_t in) {
  const bool typed = x.defined() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
  GW_CHECK(typed && x.dim() == 2 && x.size(1) == in && x.device().is_cpu(),
           "{}: expected tokens [N, {}] of f32 or bf16 on the CPU, got {} dimensions of {}", part, in,
           x.defined() ? x.dim() : 0, x.defined() ? c10::toString(x.scalar_type()) : "nothing");
  GW_CHECK(!x.requires_grad() || !at::GradMode::is_enabled(),
           "{}: expected a call without gradients for weights in blocks; use NoGradGuard or coded_values()",
           part);
}

void check_bias(const char* part, const at::Tensor& bias, int64_t values) {
  GW_CHECK(
      !bias.defined() || (bias.scalar_type() == at::kFloat && bias.is_contiguous() && bias.numel() == values),
      "{}: expected {} biases in f32, got {}", part, values, bias.defined() ? bias.numel() : 0);
}

void check_layer(const BlockFfn& w) {
  const bool whole =
      w.up.defined() && w.down.defined() && w.down.in == w.up.out && w.down.experts == w.up.experts;
  const bool gated =
      !w.gate.defined() || (w.gate.in == w.up.in && w.gate.out == w.up.out && w.gate.experts == w.up.experts);
  GW_CHECK(whole && gated,
           "moe_ffn: expected blocks of up [E, H, D], down [E, O, H] and gate as up, got others");
  check_bias("moe_ffn", w.up_bias, w.up.experts * w.up.out);
  check_bias("moe_ffn", w.gate_bias, w.up.experts * w.up.out);
  check_bias("moe_ffn", w.down_bias, w.up.experts * w.down.out);
}

int64_t bytes_of_bias(const at::Tensor& t) { return t.defined() ? static_cast<int64_t>(t.nbytes()) : 0; }

}  // namespace

int64_t BlockFfn::bytes() const {
  return gate.bytes() + up.bytes() + down.bytes() + bytes_of_bias(gate_bias) + bytes_of_bias(up_bias) +
         bytes_of_bias(down_bias);
}

int64_t block_panel_bytes(const BlockType& type, int64_t experts, int64_t out, int64_t in) {
  return experts * kernels::ceil_div(out, kBlockLanes) * kernels::panel_bytes(form_of(type), in);
}

BlockPanels pack_blocks(const std::vector<CodedMatrix>& experts) {
  GW_CHECK(!experts.empty(), "blocks: expected at least one matrix, got none");
  const auto& front = experts.front();
  for (const auto& m : experts) {
    check_coded("blocks", m);
    GW_CHECK(m.form == FewBits::blocks && m.type == front.type && m.out == front.out && m.in() == front.in(),
             "blocks: expected matrices [{}, {}] in blocks of one type for all experts, got [{}, {}]",
             front.out, front.in(), m.out, m.in());
  }
  BlockPanels p;
  p.type = front.type, p.experts = static_cast<int64_t>(experts.size()), p.out = front.out, p.in = front.in();
  p.panels = at::zeros({block_panel_bytes(*p.type, p.experts, p.out, p.in)}, at::kByte);
  const int64_t panels = kernels::ceil_div(p.out, kBlockLanes),
                bytes = kernels::panel_bytes(form_of(*p.type), p.in);
  auto* const to = p.panels.data_ptr<uint8_t>();
  std::atomic<bool> fits = true;
  at::parallel_for(0, p.experts * panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      if (!pack_panel(experts[static_cast<size_t>(i / panels)], i % panels, to + i * bytes)) fits = false;
  });
  GW_CHECK(fits, "blocks: expected finite scales of {} that f16 holds, got others; load with weights = file",
           p.type->name);
  return p;
}

at::Tensor block_rows(const CodedMatrix& m, const at::Tensor& given) {
  check_coded("blocks", m);
  GW_CHECK(m.form == FewBits::blocks && given.dim() == 1 && given.scalar_type() == at::kLong,
           "blocks: expected ids [n] of rows of a matrix in blocks, got others");
  const auto id = given.contiguous();
  const auto out = at::empty({id.size(0), m.in()}, at::kFloat);
  const auto& t = *m.type;
  for (int64_t i = 0; i < id.size(0); ++i) {
    const int64_t row = id.data_ptr<int64_t>()[i];
    GW_CHECK(row >= 0 && row < m.out, "blocks: expected rows below {}, got {}", m.out, row);
    auto* to = out.data_ptr<float>() + i * m.in();
    const auto* from = m.codes.data_ptr<uint8_t>() + row * m.codes.stride(0);
    for (int64_t b = 0; b < m.codes.size(1); ++b, to += t.values) {
      uint8_t u[kMostValues];
      float scales[kMostGroups], minima[kMostGroups];
      t.read(from + b * t.bytes, u, scales, minima);
      const auto half = [](float v) { return static_cast<float>(c10::Half(v)); };
      for (int64_t j = 0; j < t.values; ++j)
        to[j] = static_cast<float>(u[j] - t.offset) * half(scales[j / t.group]) +
                (t.minimum ? half(minima[j / t.group]) : 0);
    }
  }
  return out;
}

BlockFfn pack_block_ffn(const CodedFfn& codes) {
  BlockFfn w;
  w.up = pack_blocks(codes.up), w.down = pack_blocks(codes.down);
  if (!codes.gate.empty()) w.gate = pack_blocks(codes.gate);
  w.gate_bias = codes.gate_bias, w.up_bias = codes.up_bias, w.down_bias = codes.down_bias;
  check_layer(w);
  return w;
}

at::Tensor dense_blocks(const at::Tensor& x, const BlockPanels& w, const at::Tensor& bias) {
  GW_CHECK(w.defined(), "dense: expected a matrix in blocks, got none");
  check_call("dense", x, w.in);
  check_bias("dense", bias, w.out);
  CostRecorder::add(x.size(0) * w.in * w.out);
  return x.scalar_type() == at::kFloat ? run_dense<float>(x, w, bias) : run_dense<kernels::Bf16>(x, w, bias);
}

at::Tensor moe_ffn_blocks(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
                          const at::Tensor& weight, const BlockFfn& w, const FfnOptions& options) {
  check_layer(w);
  check_call("moe_ffn", x, w.up.in);
  check_ffn_rows(x, token, offsets, weight, w.up.experts);
  CostRecorder::add(token.size(0) * w.up.out * (w.up.in * (w.gate.defined() ? 2 : 1) + w.down.out));
  return x.scalar_type() == at::kFloat ? run_ffn<float>(x, token, offsets, weight, w, options)
                                       : run_ffn<kernels::Bf16>(x, token, offsets, weight, w, options);
}

}  // namespace gw::ops
