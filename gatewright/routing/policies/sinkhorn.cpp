#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"
#include "gatewright/routing/transport.h"

namespace gw::inline routing {
namespace {

/// While training, chosen by a plan that loads all experts alike; weighted by the raw scores.
/// Math:   Π = Sinkhorn(s / temperature), rows 1, columns T/E; the chosen are the K largest of Π's row while
///         training, of s in evaluation; weight = σ(s_e) or softmax(s)_e. No gradient through Π.
/// Shapes: scores [T, E] → plan with N = T·K rows.
/// Errors: ValueError if the columns are off by more than `tolerance` after `iterations` (with `strict`):
///         says by how much.
/// Cost:   2·T·E exponentials per iteration while training.
/// Source: Clark et al. 2022, arXiv 2202.01169 (S-BASE); sigmoid weights as in Csordás et al. 2023, arXiv
///         2310.10837.
class Sinkhorn : public TokenChoice {
 public:
  static constexpr const char* kSummary =
      "top-k of an evenly loaded transport plan while training, of the scores afterwards";
  static constexpr const char* kSource = "Clark et al. 2022, arXiv 2202.01169";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.balanced_training = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    int64_t k = 1, iterations = 200;
    double temperature = 1, tolerance = 0.01;
    std::string score = "sigmoid";
    bool strict = true;
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "experts per token", 1, 4096);
      v.integer("iterations", iterations, "at most so many rounds", 1, 1000000);
      v.real("temperature", temperature, "divides the scores in the plan", 1e-6, 1e6);
      v.real("tolerance", tolerance, "relative error of the column sums to stop at", 0, 1);
      v.text("score", score, "from scores to weights", {"sigmoid", "softmax"});
      v.flag("strict", strict, "a plan that did not converge is an error");
      ChoiceOptions::fields(v);
    }
  };

  Sinkhorn(const Options& options, const Context& context)
      : TokenChoice("policies/sinkhorn", kTraits, options, context.experts, options.k), options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool train, const Rng&) const override {
    Choice choice;
    choice.table = apply_score(options_.score, scores);
    choice.logits = options_.score == "sigmoid" ? at::log_sigmoid(scores) : scores;
    if (options_.score == "sigmoid") choice.probability = sigmoid_shares(scores);
    choice.ranking = biased(scores, scores);
    if (train) {
      const auto result = gw::sinkhorn(scores, options_.temperature, options_.iterations, options_.tolerance);
      GW_CHECK(!options_.strict || result.residual <= options_.tolerance,
               "policies/sinkhorn: expected column sums within {}, got {:.3g} after {} iterations; raise "
               "temperature, iterations or tolerance",
               options_.tolerance, result.residual, result.iterations);
      choice.ranking = biased(result.plan.to(scores.scalar_type()), scores);
    }
    choice.expert = top_k(choice.ranking, options_.k);
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::Sinkhorn);
