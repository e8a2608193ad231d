#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/experts/bank.h"
#include "gatewright/ops/activation.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"

namespace gw::inline experts {
namespace {

/// Perceptrons with one more input, the product of all inputs: one unit tells XOR.
/// Math:   y_o = act(⟨w_o, x⟩ + b_o + g_o·Π_i x_i) per expert; products = "pairs": Σ_{i<j} x_i·x_j in place
///         of the product (ours), which neither vanishes nor explodes with the number of inputs.
/// Shapes: weight [E, O, D], product [E, O], bias [E, O]; rows [N, D] sorted by expert → [N, O].
/// Grad:   the product's by libtorch, exact where inputs are zero.
/// Cost:   2·N·D·O flop and D multiplications a row; no fused kernel.
/// Errors: ValueError for rows that do not fit, an unknown activation.
/// Source: Larabi 2024, arXiv 2409.13854, reconstructed from its abstract and introduction; the paper trains
///         single units, a bank of O of them is ours.
class GatedPerceptronBank : public Bank {
 public:
  static constexpr const char* kSummary = "perceptrons with the product of all inputs as one more input";
  static constexpr const char* kSource = "Larabi 2024, arXiv 2409.13854";
  struct Options : OptionSet {
    std::string activation = "identity", products = "all";
    void fields(OptionVisitor& v) override {
      v.text("activation", activation, "of the sum; gatewright list activations");
      v.text("products", products, "all: the product of all inputs; pairs: the sum of products of two",
             {"all", "pairs"});
    }
  };

  GatedPerceptronBank(const Options& options, const Context& context)
      : options_(options), context_(context), activation_("banks/gated_perceptron", options.activation) {
    const Rng rng = Rng(context.seed).fork("banks/gated_perceptron");
    std::vector<at::Tensor> weights;
    for (int64_t e = 0; e < context.experts; ++e)
      weights.push_back(
          ops::default_uniform(rng.fork("weight", static_cast<uint64_t>(e)), {context.out, context.in}));
    weight_ = register_parameter("weight", at::stack(weights));
    product_ = register_parameter("product",
                                  ops::default_uniform(rng.fork("product"), {context.experts, context.out}));
    bias_ = register_parameter("bias", at::zeros({context.experts, context.out}));
  }

  at::Tensor forward(const at::Tensor& rows, const std::vector<int64_t>& offsets) override {
    check_rows("banks/gated_perceptron", rows, offsets, context_);
    return run_each(*this, rows, offsets, context_.out);
  }

  at::Tensor run_one(const at::Tensor& rows, int64_t e) override {
    const auto sum = ops::linear(rows, weight_[e], bias_[e]) + product_of(rows) * product_[e];
    return ops::activation(sum, activation_);
  }

 private:
  at::Tensor product_of(const at::Tensor& x) const {
    const auto wide = x.scalar_type() == at::kBFloat16 ? x.to(at::kFloat) : x;
    const auto one = options_.products == "all"
                         ? wide.prod(1, true)
                         : (wide.sum(1, true).square() - wide.square().sum(1, true)) * 0.5;
    return one.to(x.scalar_type());
  }

  Options options_;
  Context context_;
  ops::ActivationFunction activation_;
  at::Tensor weight_, product_, bias_;
};

}  // namespace
}  // namespace gw::inline experts

GW_REGISTER(gw::Bank, gw::GatedPerceptronBank);
