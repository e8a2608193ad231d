#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Sigmoid scores, chosen with a bias that a controller moves and weighted without it.
/// Math:   g = σ(s); r = g + b; group score = sum of the two largest r inside; experts outside the best
///         `kept_groups` groups are left out; the K largest r; weight = scale · g_e / Σ kept g. b enters no
///         weight and has no gradient.
/// Shapes: scores [T, E] → plan with N = T·K rows.
/// Errors: ValueError if groups does not divide E, a group has less than two experts, or K exceeds the kept
///         groups' experts.
/// Source: DeepSeek-AI 2024, arXiv 2412.19437, section 2.1.2: 256 experts, 8 groups keep 4, K = 8, scale 2.5.
///         `closed_groups = "zero"` is the transformers port, where an expert of a closed group may still win
///         over negative biased scores.
class DeepseekV3 : public TokenChoice {
 public:
  static constexpr const char* kSummary =
      "sigmoid top-k by biased score within the best groups, bias kept out of the weights";
  static constexpr const char* kSource = "DeepSeek-AI 2024, arXiv 2412.19437";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.sums_to_one = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    int64_t k = 2, groups = 1, kept_groups = 1;
    std::string closed_groups = "masked";
    Options() { renormalise = selection_bias = true; }
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "experts per token", 1, 4096);
      v.integer("groups", groups, "groups (nodes) that the experts are divided into", 1, 4096);
      v.integer("kept_groups", kept_groups, "groups that a token may visit", 1, 4096);
      v.text("closed_groups", closed_groups,
             "experts outside the kept groups: never chosen, or of score zero", {"masked", "zero"});
      ChoiceOptions::fields(v);
    }
  };

  DeepseekV3(const Options& options, const Context& context)
      : TokenChoice("policies/deepseek_v3", kTraits, options, context.experts, options.k), options_(options) {
    limited(at::zeros({0, context.experts}));
    const int64_t reachable = context.experts / options.groups * options.kept_groups;
    GW_CHECK(options.k <= reachable, "policies/deepseek_v3: expected k <= {} experts in {} groups, got {}",
             reachable, options.kept_groups, options.k);
  }

 protected:
  Choice choose(const at::Tensor& scores, bool, const Rng&) const override {
    Choice choice;
    choice.table = at::sigmoid(scores);
    choice.logits = at::log_sigmoid(scores);
    choice.probability = sigmoid_shares(scores);
    choice.ranking = limited(biased(choice.table, scores));
    choice.expert = top_k(choice.ranking, options_.k);
    return choice;
  }

 private:
  at::Tensor limited(const at::Tensor& ranking) const {
    const double fill = options_.closed_groups == "masked" ? kMaskedScore : 0;
    return keep_groups("policies/deepseek_v3", ranking, options_.groups, options_.kept_groups,
                       options_.groups == 1 ? 1 : 2, fill);
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::DeepseekV3);
