#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"
#include "gatewright/routing/transport.h"

namespace gw::inline routing {
namespace {

/// While training, routes are the support of a transport plan in which no expert meets more than its capacity
/// of tokens.
/// Math:   plan = sparse transport of s with at most C = ceil(T·f/E) tokens per expert (one more where E does
///         not divide T and no plan is that tight); token t goes to the K largest of its row
///         that are positive; weight = softmax(s)_e or σ(s_e). In evaluation: the K largest s.
/// Shapes: scores [T, E] → plan with N ≤ T·K rows. A token with an empty row (an unconverged dual) goes to
///         its best expert with room, or stays without one (`orphans`).
/// Grad:   of the weights; the plan is a constant. Where γ is too large for so few tokens per expert, it is
///         lowered (gatewright/routing/transport.h).
/// Errors: with `strict`, ValueError if the rows are off by more than `tolerance` after `iterations`: says by
///         how much.
/// Cost:   per iteration O(T·E + E·C·log C) while training.
/// Source: Liu, Puigcerver and Blondel 2022, arXiv 2209.15466; the wiring follows S-BASE where the paper's
///         code is not public.
class SparseTransportPolicy : public TokenChoice {
 public:
  static constexpr const char* kSummary =
      "support of a transport plan with few tokens per expert while training, best scores afterwards";
  static constexpr const char* kSource = "Liu, Puigcerver and Blondel 2022, arXiv 2209.15466";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.balanced_training = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    int64_t k = 1, iterations = 400;
    double buffer = 1, gamma = 1, tolerance = 0.05;
    std::string score = "softmax", orphans = "best";
    bool strict = false;
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "experts per token", 1, 4096);
      v.integer("iterations", iterations, "at most so many steps of L-BFGS", 1, 1000000);
      v.real("buffer", buffer, "tokens per expert in the plan over an even share T/E, rounded up", 1, 1e6);
      v.real("gamma", gamma, "weight of the squared penalty, lowered where the room is too small for it",
             1e-9, 1e9);
      v.real("tolerance", tolerance, "error of a token's mass to stop at", 0, 1);
      v.text("score", score, "from scores to weights", {"softmax", "sigmoid"});
      v.text("orphans", orphans, "tokens that the plan left out", {"best", "drop"});
      v.flag("strict", strict, "a plan that did not converge is an error");
      ChoiceOptions::fields(v);
    }
  };

  SparseTransportPolicy(const Options& options, const Context& context)
      : TokenChoice("policies/sparse_transport", traits_of(options), options, context.experts, options.k),
        options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool train, const Rng&) const override {
    Choice choice;
    choice.table = apply_score(options_.score, scores);
    choice.logits = options_.score == "sigmoid" ? at::log_sigmoid(scores) : scores;
    if (options_.score == "sigmoid") choice.probability = sigmoid_shares(scores);
    choice.ranking = biased(scores, scores);
    choice.expert = train && scores.size(0) > 0 ? planned(choice.ranking) : top_k(choice.ranking, options_.k);
    return choice;
  }

 private:
  static PolicyTraits traits_of(const Options& options) {
    auto traits = kTraits;
    traits.drops_tokens = options.orphans == "drop";
    return traits;
  }

  at::Tensor planned(const at::Tensor& ranking) const {
    const double even = static_cast<double>(ranking.size(0)) / static_cast<double>(experts());
    const auto room = std::max(least_room(ranking.size(0), experts()),
                               static_cast<int64_t>(std::ceil(even * options_.buffer - 1e-9)));
    const auto result =
        gw::sparse_transport(ranking, room, options_.gamma, options_.iterations, options_.tolerance, true);
    GW_CHECK(!options_.strict || result.residual <= options_.tolerance,
             "policies/sparse_transport: expected token masses within {}, got {:.3g} after {} iterations at "
             "gamma {:.3g}; raise buffer, "
             "iterations or tolerance",
             options_.tolerance, result.residual, result.iterations, result.gamma);
    const auto carried = result.plan.masked_fill(result.plan.le(0), kMaskedScore);
    const auto chosen = top_k(carried, options_.k);
    if (options_.orphans == "drop") return chosen;
    // Those already in keep their place; orphans ask for their best expert last and take the next one with
    // room.
    const auto orphan = chosen.select(1, 0).lt(0);
    auto wanted = chosen.clone();
    wanted.select(1, 0).copy_(at::where(orphan, top_k(ranking, 1).select(1, 0), chosen.select(1, 0)));
    return limit_rows(wanted, experts(), room * options_.k, by_priority(orphan.logical_not().to(at::kLong)),
                      ranking);
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::SparseTransportPolicy);
