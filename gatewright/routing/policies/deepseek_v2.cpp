#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Softmax top-k within the best groups of experts, so that a token visits few devices.
/// Math:   p = softmax(s); group score = max of p inside; the best `keep_groups` groups stay; the K largest p
///         of those; weight = scale · p_e, not renormalised.
/// Shapes: scores [T, E] → plan with N = T·K rows; group g holds experts g·E/G … (g+1)·E/G.
/// Errors: ValueError if groups does not divide E, or K exceeds the experts of the kept groups.
/// Source: DeepSeek-AI 2024, arXiv 2405.04434, section 2.1.2: 160 experts, 8 groups keep 3, K = 6, scale 16.
///         Its release either renormalises or scales; here both options act, so set one.
class DeepseekV2 : public TokenChoice {
 public:
  static constexpr const char* kSummary = "softmax top-k within the best groups of experts";
  static constexpr const char* kSource = "DeepSeek-AI 2024, arXiv 2405.04434";
  static constexpr PolicyTraits kTraits = {};
  struct Options : ChoiceOptions {
    int64_t k = 2, groups = 1, kept_groups = 1;
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "experts per token", 1, 4096);
      v.integer("groups", groups, "groups (devices) that the experts are divided into", 1, 4096);
      v.integer("kept_groups", kept_groups, "groups that a token may visit", 1, 4096);
      ChoiceOptions::fields(v);
    }
  };

  DeepseekV2(const Options& options, const Context& context)
      : TokenChoice("policies/deepseek_v2", kTraits, options, context.experts, options.k), options_(options) {
    keep_groups("policies/deepseek_v2", at::zeros({0, context.experts}), options.groups, options.kept_groups,
                1, 0);
    const int64_t reachable = context.experts / options.groups * options.kept_groups;
    GW_CHECK(options.k <= reachable, "policies/deepseek_v2: expected k <= {} experts in {} groups, got {}",
             reachable, options.kept_groups, options.k);
  }

 protected:
  Choice choose(const at::Tensor& scores, bool, const Rng&) const override {
    Choice choice;
    choice.table = at::softmax(scores, 1);
    choice.logits = scores;
    const auto preference = biased(options_.selection_bias ? choice.table : scores, scores);
    choice.ranking = keep_groups("policies/deepseek_v2", preference, options_.groups, options_.kept_groups, 1,
                                 kMaskedScore);
    choice.expert = top_k(choice.ranking, options_.k);
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::DeepseekV2);
