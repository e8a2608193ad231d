#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// A second expert only where the router cannot tell the first two apart.
/// Math:   p = softmax(s) over all E, p1 ≥ p2 its two largest; both experts if p1 − p2 ≤ T, else the first
///         alone. Weights: p over their sum for a pair, p1 for a single one (1 with `renormalise`); with
///         pair = "even" ½ and ½, and 1.
/// Shapes: scores [T, E] → plan with T ≤ N ≤ 2T rows. T = 0: one expert (two at exact ties); T ≥ 1: always
///         two.
/// `most`: T in evaluation is the largest with which no more than that share of the calibration's tokens has
/// two experts (below 0 where ties leave no other: none has); a token's choice never depends on its batch.
/// Training keeps T = gap.
/// Errors: ValueError if E < 2.
/// Source: Li et al. 2023, arXiv 2310.07188 (adaptive gating), section 3; its balance loss counts single
///         tokens only: balancers/switch_loss with count = "single". The weights are ours where the paper
///         prints none, and so is the calibration.
class Adaptive : public TokenChoice {
 public:
  static constexpr const char* kSummary =
      "one or two experts, by the gap between the two largest probabilities";
  static constexpr const char* kSource = "Li et al. 2023, arXiv 2310.07188";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.by_lead = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    double gap = 0.1, most = 0;
    std::string pair = "relative";
    void fields(OptionVisitor& v) override {
      v.real("gap", gap, "two experts up to this difference of probabilities", 0, 1);
      v.real("most", most,
             "in evaluation the gap that gives at most this share of held-out tokens two experts, set before "
             "each validation; 0: gap",
             0, 1);
      v.text("pair", pair, "weights of two experts: by their probabilities, or one half each (one: 1)",
             {"relative", "even"});
      ChoiceOptions::fields(v);
    }
  };

  Adaptive(const Options& options, const Context& context)
      : TokenChoice("policies/adaptive", traits_of(options), shared(options), context.experts, 2,
                    /*fixed=*/true),
        options_(options) {
    if (options.most > 0) calibrated_gap_ = at::full({1}, options.gap, at::kDouble);
  }

  bool wants_calibration() const override { return calibrated_gap_.defined(); }

  void calibrate(const at::Tensor& scores) override {
    if (!wants_calibration()) return;
    GW_CHECK(scores.dim() == 2 && scores.size(0) > 0,
             "policies/adaptive: expected scores of at least one token to calibrate on, got none");
    const auto seen = scores.detach();
    const auto gaps = std::get<0>(gaps_of(seen, at::softmax(seen, 1), top_k(seen, 2)).sort());
    const auto allowed = static_cast<int64_t>(std::floor(options_.most * static_cast<double>(gaps.size(0))));
    // Tokens of one gap stand or fall together: the last one that differs from the first without room.
    const auto room = allowed < gaps.size(0) ? gaps.masked_select(gaps.lt(gaps[allowed])) : gaps;
    calibrated_gap_.fill_(room.numel() == 0 ? -1.0 : room.max().item<double>());
  }

  NamedTensors state() const override {
    auto state = TokenChoice::state();
    if (calibrated_gap_.defined()) state.emplace_back("calibrated_gap", calibrated_gap_);
    return state;
  }

 protected:
  Choice choose(const at::Tensor& scores, bool train, const Rng&) const override {
    Choice choice;
    choice.probability = at::softmax(scores, 1);
    choice.table = even() ? at::ones_like(scores).detach() : choice.probability;
    if (!even()) choice.logits = scores;
    choice.ranking = biased(options_.selection_bias ? choice.probability : scores, scores);
    choice.expert = top_k(choice.ranking, 2);
    const auto single = gaps_of(scores.detach(), choice.probability.detach(), choice.expert)
                            .gt(gap(train))
                            .logical_or(choice.expert.select(1, 1).lt(0));
    choice.expert.select(1, 1).masked_fill_(single, -1);
    choice.pair = choice.expert;
    return choice;
  }

  const char* score_function() const override { return "softmax"; }
  bool thins() const override { return true; }
  void thin(ops::TopK& chosen) const override {
    const auto most = static_cast<float>(gap(/*train=*/false));
    auto* expert = chosen.expert.data_ptr<int64_t>();
    auto* weight = chosen.weight.data_ptr<float>();
    for (int64_t t = 0; t < chosen.expert.size(0); ++t, expert += 2, weight += 2) {
      const float first = weight[0], second = weight[1];
      if (expert[1] < 0 || first - second > most) {
        expert[1] = -1, weight[0] = options_.renormalise || even() ? 1 : first, weight[1] = 0;
      } else {
        weight[0] = even() ? 0.5F : first / (first + second), weight[1] = even() ? 0.5F : 1 - weight[0];
      }
    }
  }

  // Of a pair relative to it, of a single expert its probability.
  at::Tensor weigh(const Choice& choice, const at::Tensor& kept) const override {
    if (even()) return TokenChoice::weigh(choice, kept);
    const auto over = covering(choice.pair, kept);
    const auto alone = over.ge(0).sum(1, true).lt(2);
    return at::where(alone, TokenChoice::weigh(choice, kept), chosen_softmax(choice.logits, kept, over));
  }

 private:
  static PolicyTraits traits_of(const Options& options) {
    auto traits = kTraits;
    traits.differentiable = options.pair != "even";
    return traits;
  }
  static ChoiceOptions shared(const Options& options) {
    ChoiceOptions used = options;
    used.renormalise = options.renormalise || options.pair == "even";
    return used;
  }
  bool even() const { return options_.pair == "even"; }
  double gap(bool train) const {
    return !train && calibrated_gap_.defined() ? calibrated_gap_.item<double>() : options_.gap;
  }
  /// p1 − p2 of the chosen. Without a bias from the kernel that evaluation's one pass takes, so that a token
  /// at the border has the same experts with and without gradients.
  at::Tensor gaps_of(const at::Tensor& scores, const at::Tensor& probability,
                     const at::Tensor& expert) const {
    const bool largest = !options_.selection_bias && scores.device().is_cpu();
    const auto top = largest ? ops::top_k(scores, 2).weight : probability.gather(1, expert.clamp_min(0));
    return top.select(1, 0) - top.select(1, 1);
  }

  Options options_;
  at::Tensor calibrated_gap_;  ///< [1] f64; undefined without `most`
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::Adaptive);
