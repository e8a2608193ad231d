#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/order.h"
#include "gatewright/train/task.h"

namespace gw::inline train {
namespace {

/// Examples that need few second experts first, and alike ones beside each other: a batch does not wait for
/// one token with two.
/// Math:   C_d = [r_1 … r_L], r_l the share of the tokens of example d that more than one expert of layer l
///         serves, by the weights at the beginning of the epoch, in evaluation mode. The example of least Σ_l
///         r_l comes first (the earlier of equals), then the others by the cosine of their C and its, largest
///         first; by Σ_l r_l where that leaves them equal, and where no token of the first has two experts.
/// Errors: ValueError for models in which nothing decides by examples or tokens.
/// Cost:   a forward pass over all training examples before every epoch.
/// Source: Li et al. 2023, arXiv 2310.07188, section 3.3; what equals and zeros do is ours.
class ExpertOrder : public Order {
 public:
  static constexpr const char* kSummary =
      "examples that need few second experts first, those that need them alike together";
  static constexpr const char* kSource = "Li et al. 2023, arXiv 2310.07188";
  struct Options : OptionSet {};

  ExpertOrder(const Options&, const Context&) {}
  bool asks_model() const override { return true; }

  std::vector<int64_t> rows(const EpochStart& start) const override {
    const auto need = needs(start);  // [n, L]
    const auto sum = need.sum(1);
    const auto first = need[sum.argmin().item<int64_t>()];
    const auto scale = need.norm(2, 1) * first.norm(2);
    const auto cosine =
        at::where(scale.gt(0), at::matmul(need, first) / scale.clamp_min(1e-12), at::zeros_like(scale));
    const auto like = cosine.contiguous(), all = sum.contiguous();
    const auto *alike = like.data_ptr<double>(), *most = all.data_ptr<double>();
    std::vector<int64_t> order(static_cast<size_t>(start.set.size()));
    std::iota(order.begin(), order.end(), int64_t{0});
    const auto head = sum.argmin().item<int64_t>();
    // Cosines of equal shares differ in their last bits.
    const auto level = [&](int64_t d) { return d == head ? 2e9 : std::round(alike[d] * 1e9); };
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return level(a) != level(b) ? level(a) > level(b) : most[a] < most[b];
    });
    return order;
  }

 private:
  /// [n, L] shares of tokens with more than one expert.
  static at::Tensor needs(const EpochStart& start) {
    constexpr int64_t kBatch = 256;
    std::vector<at::Tensor> all;
    EvaluationPass pass{
        start.model, start.set, start.rng.fork("needs", static_cast<uint64_t>(start.epoch)), {}};
    each_answer(pass, kBatch, [&](const Batch& batch, const Output& output) {
      std::vector<at::Tensor> layers;
      for (const auto& [site, plan] : output.plans)
        if (!plan.soft() && plan.tokens > 0) layers.push_back(of_layer(site, plan, batch.size()));
      GW_CHECK(!layers.empty(),
               "orders/experts: expected a model with a router, got one in which nothing decides");
      all.push_back(at::stack(layers, 1));
    });
    return at::cat(all);
  }

  static at::Tensor of_layer(const std::string& site, const RoutingPlan& plan, int64_t examples) {
    const auto served = at::bincount(plan.token, {}, plan.tokens).gt(1).to(at::kDouble);
    auto text = plan.facts.sequence;
    const bool told =
        text.defined() && text.size(0) == plan.tokens && text.max().item<int64_t>() + 1 == examples;
    GW_CHECK(told || plan.tokens % examples == 0,
             "orders/experts: expected decisions of whole examples at {}, got {} of {} examples", site,
             plan.tokens, examples);
    if (!told) text = at::arange(examples, at::kLong).repeat_interleave(plan.tokens / examples);
    const auto zero = at::zeros({examples}, at::kDouble);
    return zero.index_add(0, text, served) / zero.index_add(0, text, at::ones_like(served));
  }
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Order, gw::ExpertOrder);
