#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Softmax under fresh Gumbel noise per token and expert.
/// Math:   α = softmax((s + g) / τ), g = −log(−log U). Dense; with `hard` only argmax α, weight 1, gradient
///         of α straight through. In evaluation α is the mean over `samples` draws (linear mixing: the mean
///         of the outputs), or the plain softmax(s / τ) for samples = 0. With `common` those draws are the
///         same for all tokens, so that a token's answer depends on no other token and on no place.
/// Shapes: scores [T, E] → plan with N = T·E rows, or T with `hard`.
/// Errors: ValueError for a temperature that is not positive.
/// Source: Chernov 2025, arXiv 2502.03608 (GG MoE), τ = 1 and 10 draws; Jang et al. 2016, arXiv 1611.01144.
///         Differs: by default evaluation draws nothing, so that its answers repeat; `common` is ours.
class GumbelSoftmax : public TokenChoice {
 public:
  static constexpr const char* kSummary = "softmax of scores under Gumbel noise, dense or hard";
  static constexpr const char* kSource = "Chernov 2025, arXiv 2502.03608";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.sums_to_one = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    double temperature = 1;
    int64_t samples = 0;
    bool hard = false, common = false;
    void fields(OptionVisitor& v) override {
      v.real("temperature", temperature, "divides scores and noise", 1e-3, 1e3);
      v.integer("samples", samples, "draws averaged in evaluation; 0: no noise", 0, 10000);
      v.flag("common", common, "evaluation: the same draws for every token; training draws for each");
      v.flag("hard", hard, "one expert with weight 1, straight-through gradient");
      ChoiceOptions::fields(v);
    }
  };

  GumbelSoftmax(const Options& options, const Context& context)
      : TokenChoice("policies/gumbel_softmax", traits_of(options), options, context.experts,
                    options.hard ? 1 : context.experts),
        options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool train, const Rng& rng) const override {
    Choice choice;
    const auto soft = mean_of_draws(scores, train, rng);
    choice.probability = soft;
    choice.ranking = biased(soft, scores);
    choice.expert = top_k(choice.ranking, options_.hard ? 1 : experts());
    choice.table = options_.hard ? soft - soft.detach() + 1 : soft;
    return choice;
  }

 private:
  static PolicyTraits traits_of(const Options& options) {
    auto traits = kTraits;
    traits.random = options.samples > 0;
    traits.straight_through = options.hard;
    return traits;
  }

  at::Tensor mean_of_draws(const at::Tensor& scores, bool train, const Rng& rng) const {
    const int64_t draws = train ? 1 : options_.samples;
    const std::vector<int64_t> shape{options_.common && !train ? 1 : scores.size(0), scores.size(1)};
    if (draws == 0) return at::softmax(scores / options_.temperature, 1);
    auto sum = at::zeros_like(scores);
    for (int64_t i = 0; i < draws; ++i) {
      const auto noise = gumbel(rng.fork("draw", static_cast<uint64_t>(i)), shape, scores.scalar_type());
      sum = sum + at::softmax((scores + noise) / options_.temperature, 1);
    }
    return sum / static_cast<double>(draws);
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::GumbelSoftmax);
