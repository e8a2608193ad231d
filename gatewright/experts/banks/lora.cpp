#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/experts/bank.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"

namespace gw::inline experts {
namespace {

/// Low-rank experts: what a frozen layer is corrected by.
/// Math:   y = (alpha / rank)·U_e (V_e x) per expert; U starts at zero, so a new bank answers exact zeros.
/// Shapes: down V [E, rank, D], up U [E, O, rank]; rows [N, D] sorted by expert → [N, O].
/// Cost:   2·N·rank·(D + O) flop; no fused kernel.
/// Errors: ValueError for rows that do not fit.
/// Source: Hu et al. 2021, arXiv 2106.09685, as experts in Liu and Luo 2024, arXiv 2405.00361; differs: no
///         dropout on the input.
class LoraBank : public Bank {
 public:
  static constexpr const char* kSummary = "low-rank corrections of a frozen layer, zero at the start";
  static constexpr const char* kSource = "Hu et al. 2021, arXiv 2106.09685";
  struct Options : OptionSet {
    int64_t rank = 4;
    double alpha = 16;
    void fields(OptionVisitor& v) override {
      v.integer("rank", rank, "of an expert's correction", 1, 1 << 16);
      v.real("alpha", alpha, "the correction is multiplied by alpha / rank", 1e-6, 1e6);
    }
  };

  LoraBank(const Options& options, const Context& context)
      : context_(context), scale_(options.alpha / static_cast<double>(options.rank)) {
    const Rng rng = Rng(context.seed).fork("banks/lora");
    std::vector<at::Tensor> down;
    for (int64_t e = 0; e < context.experts; ++e)
      down.push_back(
          ops::default_uniform(rng.fork("down", static_cast<uint64_t>(e)), {options.rank, context.in}));
    down_ = register_parameter("down", at::stack(down));
    up_ = register_parameter("up", at::zeros({context.experts, context.out, options.rank}));
  }

  at::Tensor forward(const at::Tensor& rows, const std::vector<int64_t>& offsets) override {
    check_rows("banks/lora", rows, offsets, context_);
    return run_each(*this, rows, offsets, context_.out);
  }

  at::Tensor run_one(const at::Tensor& rows, int64_t e) override {
    return ops::linear(ops::linear(rows, down_[e], {}), up_[e], {}) * scale_;
  }

 private:
  Context context_;
  double scale_;
  at::Tensor down_, up_;
};

}  // namespace
}  // namespace gw::inline experts

GW_REGISTER(gw::Bank, gw::LoraBank);
