#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/policy.h"

namespace gw::inline routing {
namespace {

/// Experts by a fixed table of token ids: nothing is learned, nothing can collapse.
/// Math:   "random": e(id) is a fixed draw of the seed; "modulo": id mod E; "balanced": ids by falling
///         frequency, each to the expert of least total frequency so far. K > 1 takes the K − 1 experts that
///         follow, round the circle. weight = 1/K.
/// Shapes: scores [T, E] (shape only) and token_id [T] → plan with N = T·K rows.
/// Errors: ValueError without token ids, for an id beyond the table of frequencies, or K > E.
/// Source: Roller et al. 2021, arXiv 2106.04426 (hash layers).
class Hash : public Policy {
 public:
  static constexpr const char* kSummary = "experts by a fixed hash of the token's id";
  static constexpr const char* kSource = "Roller et al. 2021, arXiv 2106.04426";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.differentiable = false;
    traits.sums_to_one = true;
    traits.needs = "token_id";
    return traits;
  }();
  struct Options : OptionSet {
    int64_t k = 1, seed = 0;
    std::string table = "random";
    std::vector<double> frequencies;
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "experts per token", 1, 4096);
      v.integer("seed", seed, "of the random table", 0, INT64_MAX);
      v.text("table", table, "how ids become experts", {"random", "modulo", "balanced"});
      v.reals("frequencies", frequencies, "of each id, for the balanced table", 0, 1e300);
    }
  };

  Hash(const Options& options, const Context& context) : options_(options), experts_(context.experts) {
    GW_CHECK(options.k <= experts_,
             "policies/hash: expected k <= experts ({}), got {}; lower k or raise experts", experts_,
             options.k);
    if (options.table == "balanced") fill_balanced();
  }

  RoutingPlan plan(const at::Tensor& scores, bool train, const Rng& rng) const override {
    RouterInputs inputs;
    inputs.rng = rng;
    return plan_for(scores, inputs, train);
  }

  RoutingPlan plan_for(const at::Tensor& scores, const RouterInputs& inputs, bool) const override {
    check_scores("policies/hash", scores, experts_);
    const int64_t tokens = scores.size(0),
                  known = balanced_.empty() ? -1 : static_cast<int64_t>(balanced_.size());
    const auto ids = required_ids("policies/hash", "token_id", inputs.token_id, tokens, known);
    auto expert = at::empty({tokens, options_.k}, at::kLong);
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t first = expert_of(ids.data_ptr<int64_t>()[t]);
      for (int64_t j = 0; j < options_.k; ++j)
        expert.data_ptr<int64_t>()[t * options_.k + j] = (first + j) % experts_;
    }
    auto plan = make_plan(
        expert, at::full({tokens, options_.k}, 1.0 / static_cast<double>(options_.k), scores.scalar_type()),
        experts_);
    plan.scores = scores;
    plan.facts.first_choice = expert.select(1, 0);
    return plan;
  }

  int64_t experts() const override { return experts_; }
  PolicyTraits traits() const override { return kTraits; }

 private:
  int64_t expert_of(int64_t id) const {
    if (options_.table == "modulo") return id % experts_;
    if (!balanced_.empty()) return balanced_[static_cast<size_t>(id)];
    const Rng rng = Rng(static_cast<uint64_t>(options_.seed)).fork("policies/hash");
    return static_cast<int64_t>(rng.below(static_cast<uint64_t>(id), static_cast<uint64_t>(experts_)));
  }

  void fill_balanced() {
    const auto& f = options_.frequencies;
    GW_CHECK(!f.empty(),
             "policies/hash: expected the frequencies of all ids for the balanced table, got none");
    std::vector<size_t> order(f.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&f](size_t a, size_t b) { return f[a] > f[b]; });
    std::vector<double> total(static_cast<size_t>(experts_), 0);
    balanced_.resize(f.size());
    for (const auto id : order) {
      const auto least = std::min_element(total.begin(), total.end()) - total.begin();
      total[static_cast<size_t>(least)] += f[id];
      balanced_[id] = least;
    }
  }

  Options options_;
  int64_t experts_;
  std::vector<int64_t> balanced_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::Hash);
