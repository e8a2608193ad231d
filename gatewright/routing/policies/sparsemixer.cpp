#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Two experts, each with a softmax of its own over its close rivals; sampled while training.
/// Math:   for choice j = 1, 2 (the first's expert removed for the second): m = max s; rivals are those with
///         (m − s) / max(|s|, m) ≤ 2ε; weight = softmax over the rivals at the chosen. In evaluation the
///         chosen is the maximum;
///         while training it is drawn from that softmax, and the weight's value is a third where the draw
///         missed the maximum (three times out of four), its gradient staying that of the softmax.
/// Shapes: scores [T, E] → plan with N = 2T rows. The two weights do not sum to one: both are 1 in clear
///         cases.
/// Errors: ValueError if E < 2.
/// Source: Liu et al. 2024, arXiv 2409.12136 (GRIN, SparseMixer-v2), the router of Phi-3.5-MoE; ε is its
///         jitter, here `width`.
class SparseMixer : public TokenChoice {
 public:
  static constexpr const char* kSummary =
      "two experts with softmaxes over close rivals, sampled while training";
  static constexpr const char* kSource = "Liu et al. 2024, arXiv 2409.12136";
  static constexpr PolicyTraits kTraits = {};
  struct Options : ChoiceOptions {
    double width = 0.01;
    void fields(OptionVisitor& v) override {
      v.real("width", width, "rivals lie within twice this relative distance of the best", 0, 1);
      ChoiceOptions::fields(v);
    }
  };

  SparseMixer(const Options& options, const Context& context)
      : TokenChoice("policies/sparsemixer", kTraits, options, context.experts, 2, /*fixed=*/true),
        options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool train, const Rng& rng) const override {
    const auto ranking = biased(scores, scores);
    const auto [first, first_weight] = one(scores, ranking, ranking, train, rng.fork("first"));
    const auto rest = scores.scatter(1, first.clamp_min(0), kMaskedScore);
    const auto left = ranking.scatter(1, first.clamp_min(0), kMaskedScore);
    auto [second, second_weight] = one(rest, ranking, left, train, rng.fork("second"));
    second = second.masked_fill(rest.detach().amax(1, true).le(kMaskedScore / 2), -1);
    Choice choice;
    choice.expert = at::cat({first, second}, 1);
    choice.table = at::zeros_like(scores).scatter(1, first, first_weight);
    choice.table =
        choice.table.scatter_add(1, second.clamp_min(0), second_weight.masked_fill(second.lt(0), 0));
    choice.ranking = ranking;
    return choice;
  }

 private:
  /// Chosen expert [T, 1] among `left` and its weight [T, 1]. The ranking holds the selection bias: it says
  /// who is best and who is a rival; the weight is the softmax of `open`, which does not hold it.
  std::pair<at::Tensor, at::Tensor> one(const at::Tensor& open, const at::Tensor& ranking,
                                        const at::Tensor& left, bool train, const Rng& rng) const {
    const auto best = top_k(left, 1).clamp_min(0);
    const auto m = left.gather(1, best);
    const auto far = ((m - ranking) / at::maximum(ranking.abs(), m)).gt(2 * options_.width);
    const auto p = at::softmax(open.masked_fill(far, kMaskedScore), 1);
    if (!train) return {best, p.gather(1, best)};
    const auto noise = gumbel(rng.fork("gumbel"), p.sizes(), p.scalar_type());
    const auto drawn = top_k(p.detach().log().clamp_min(kMaskedScore) + noise, 1).clamp_min(0);
    const auto lucky = ops::uniform(rng.fork("lucky"), drawn.sizes(), 0, 1).gt(0.75);
    const auto weight = p.gather(1, drawn);
    const auto whole = drawn.eq(best).logical_or(lucky).to(p.scalar_type());
    const auto factor = (whole * 2 + 1) / 3;  // 1, or a third
    return {drawn, weight + (weight * (factor - 1)).detach()};
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::SparseMixer);
