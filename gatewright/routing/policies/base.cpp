#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"
#include "gatewright/routing/transport.h"

namespace gw::inline routing {
namespace {

/// While training, the assignment of largest total score in which every expert has its even share of tokens.
/// Math:   max Σ_t s_t,a(t) with at most ceil(T/E) tokens per expert while training; a(t) = argmax s_t in
///         evaluation; weight = σ(s_t,a(t)).
/// Shapes: scores [T, E] → plan with N = T rows.
/// Cost:   an auction: O(E) per bid, some bids per token (more when scores are alike).
/// Source: Lewis et al. 2021, arXiv 2103.16716 (BASE layers); differs: the auction stops within
///         T·precision·range of the optimum.
class Base : public TokenChoice {
 public:
  static constexpr const char* kSummary =
      "best assignment with equal shares while training, best score afterwards";
  static constexpr const char* kSource = "Lewis et al. 2021, arXiv 2103.16716";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.balanced_training = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    double precision = 1e-3;
    void fields(OptionVisitor& v) override {
      v.real("precision", precision, "smallest raise of a bid, relative to the range of the scores", 1e-9, 1);
      ChoiceOptions::fields(v);
    }
  };

  Base(const Options& options, const Context& context)
      : TokenChoice("policies/base", kTraits, options, context.experts, 1), options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool train, const Rng&) const override {
    Choice choice;
    choice.table = at::sigmoid(scores);
    choice.logits = at::log_sigmoid(scores);
    choice.probability = sigmoid_shares(scores);
    choice.ranking = biased(scores, scores);
    choice.expert = train ? balanced_assignment(choice.ranking, options_.precision).unsqueeze(1)
                          : top_k(choice.ranking, 1);
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::Base);
