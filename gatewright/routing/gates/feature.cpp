#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// Factors for the features of an expert's input: what a task's expert should see of the common embedding.
/// Math:   f(v) = Σ_l g_l(v) · 2σ(A_l B_l v), g = softmax over the `pieces`; B: D → rank, A: rank → E, A = 0
///         at first, so f = 1.
/// Shapes: v [T, D] → factors [T, E] with E = D for an elementwise product. Values lie in (0, 2): not for a
///         policy.
/// Source: Wang et al. 2024, arXiv 2408.05430 (HoME), section 3.4, with 2 pieces.
class Feature : public Gate {
 public:
  static constexpr const char* kSummary =
      "factors in (0, 2) for the features of an expert's input, by low-rank maps";
  static constexpr const char* kSource = "Wang et al. 2024, arXiv 2408.05430";
  struct Options : OptionSet {
    int64_t pieces = 2, rank = 8;
    void fields(OptionVisitor& v) override {
      v.integer("pieces", pieces, "low-rank maps that are mixed", 1, 1024);
      v.integer("rank", rank, "inner width of each map", 1, 1 << 16);
    }
  };

  Feature(const Options& options, const Context& context)
      : options_(options), width_(context.width), features_(context.experts) {
    const Rng rng = Rng(context.seed).fork("gates/feature");
    down_ = register_parameter(
        "down", ops::default_uniform(rng.fork("down"), {options.pieces * options.rank, width_}));
    up_ = register_parameter("up", at::zeros({options.pieces, options.rank, features_}));
    weight_ =
        register_parameter("weight", ops::default_uniform(rng.fork("weight"), {options.pieces, width_}));
    bias_ = register_parameter("bias", at::zeros({options.pieces}));
  }

  at::Tensor forward(const at::Tensor& x) override {
    check_tokens("gates/feature", x, width_);
    const auto inner = ops::linear(x, down_, {}).view({x.size(0), options_.pieces, options_.rank});
    const auto piece = 2 * at::sigmoid(at::matmul(inner.transpose(0, 1), up_));  // [pieces, T, E]
    const auto mix = at::softmax(ops::linear(x, weight_, bias_), 1);
    return (piece * mix.t().unsqueeze(2)).sum(0);
  }

 private:
  Options options_;
  int64_t width_, features_;
  at::Tensor down_, up_, weight_, bias_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::Feature);
