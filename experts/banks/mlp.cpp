#include <ATen/ATen.h>

#include "base/registry.h"
#include "experts/bank.h"
#include "ops/conv.h"
#include "ops/init.h"

namespace gw {
namespace {

/// Two-layer perceptrons.
/// Math:   y = act(x W1ᵀ + b1) W2ᵀ + b2 per expert. Shapes: W1 [E, H, D], b1 [E, H], W2 [E, O, H], b2 [E, O].
/// Cost:   2·N·H·(D + O) flop, whatever E.
/// Grad:   through unbind: one stacked write per parameter, not one full tensor of zeros per expert.
/// Source: Shazeer et al. 2017, arXiv 1701.06538.
class MlpBank : public Bank {
 public:
  static constexpr const char* kSummary = "two-layer perceptrons";
  static constexpr const char* kSource = "Shazeer et al. 2017, arXiv 1701.06538";
  struct Options : OptionSet {
    int64_t hidden = 0;
    std::string activation = "relu";
    void fields(OptionVisitor& v) override {
      v.integer("hidden", hidden, "hidden width H of an expert; 0: four times the input width", 0, 1 << 20);
      v.text("activation", activation, "between the two products", {"relu", "gelu", "silu"});
    }
  };

  MlpBank(const Options& options, const Context& context) : options_(options), context_(context) {
    const int64_t h = options.hidden > 0 ? options.hidden : 4 * context.in;
    const Rng rng = Rng(context.seed).fork("banks/mlp");
    w1_ = register_parameter("w1", stacked(rng.fork("w1"), h, context.in));
    b1_ = register_parameter("b1", at::zeros({context.experts, h}));
    w2_ = register_parameter("w2", stacked(rng.fork("w2"), context.out, h));
    b2_ = register_parameter("b2", at::zeros({context.experts, context.out}));
  }

  at::Tensor forward(const at::Tensor& rows, const std::vector<int64_t>& offsets) override {
    check_rows("banks/mlp", rows, offsets, context_);
    const auto w1 = w1_.unbind(0), b1 = b1_.unbind(0), w2 = w2_.unbind(0), b2 = b2_.unbind(0);
    std::vector<at::Tensor> out;
    for (size_t e = 0; e + 1 < offsets.size(); ++e) {
      if (offsets[e] == offsets[e + 1]) continue;
      const auto x = rows.narrow(0, offsets[e], offsets[e + 1] - offsets[e]);
      out.push_back(expert(x, w1[e], b1[e], w2[e], b2[e]));
    }
    return out.empty() ? rows.new_zeros({0, context_.out}) : at::cat(out, 0);
  }

  at::Tensor run_one(const at::Tensor& rows, int64_t e) override { return expert(rows, w1_[e], b1_[e], w2_[e], b2_[e]); }

 private:
  at::Tensor stacked(const Rng& rng, int64_t out, int64_t in) const {
    std::vector<at::Tensor> weights;
    for (int64_t e = 0; e < context_.experts; ++e) weights.push_back(ops::default_uniform(rng.fork("expert", static_cast<uint64_t>(e)), {out, in}));
    return at::stack(weights);
  }

  at::Tensor expert(const at::Tensor& x, const at::Tensor& w1, const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2) const {
    const auto h = ops::linear(x, w1, b1);
    const auto a = options_.activation == "relu" ? at::relu(h) : options_.activation == "gelu" ? at::gelu(h) : at::silu(h);
    return ops::linear(a, w2, b2);
  }

  Options options_;
  Context context_;
  at::Tensor w1_, b1_, w2_, b2_;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Bank, gw::MlpBank);
