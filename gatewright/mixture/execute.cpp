#include "gatewright/mixture/execute.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"

namespace gw::inline mixture {
namespace {

/// The weights of planned experts, given back in any case: a store that counts would keep them for ever after
/// an expert's error.
class HeldWeights {
 public:
  HeldWeights(WeightStore& store, const std::vector<int64_t>& offsets) : store_(store), offsets_(offsets) {
    store_.acquire(offsets_);
  }
  ~HeldWeights() {
    try {
      if (!released_) store_.release(offsets_);
    } catch (...) {  // the error under way is the one to tell
    }
  }
  HeldWeights(const HeldWeights&) = delete;
  HeldWeights& operator=(const HeldWeights&) = delete;
  void release() {
    released_ = true;
    store_.release(offsets_);
  }

 private:
  WeightStore& store_;
  const std::vector<int64_t>& offsets_;
  bool released_ = false;
};

at::Tensor masked(Bank& bank, const at::Tensor& x, const RoutingPlan& plan) {
  const auto weights = dense_weights(plan);
  at::Tensor y;
  for (int64_t e = 0; e < plan.experts(); ++e) {
    const auto answer = bank.run_one(x, e), weighed = answer * per_row(weights.select(1, e), answer);
    y = y.defined() ? y + weighed : weighed;
  }
  return y;
}

}  // namespace

std::vector<std::string> execution_names() { return {"fused", "bucketed", "masked"}; }

Execution execution_named(const std::string& name) {
  const auto names = execution_names();
  const auto found = std::find(names.begin(), names.end(), name);
  GW_CHECK(found != names.end(), "mixture: unknown execution \"{}\"{}", name, near_miss(name, names));
  return static_cast<Execution>(found - names.begin());
}

at::Tensor execute(Bank& bank, const at::Tensor& x, const RoutingPlan& plan, Execution execution,
                   WeightStore& store, TokenExchange* exchange) {
  const bool gathered = exchange != nullptr || plan.soft() || execution == Execution::kBucketed;
  if (!gathered) {
    HeldWeights held(store, plan.offsets);
    auto y = execution == Execution::kMasked ? masked(bank, x, plan)
                                             : bank.mix(x, plan.offsets, plan.token, plan.weight);
    held.release();
    return y;
  }
  std::vector<int64_t> offsets = plan.offsets;
  auto here = plan.soft() ? at::matmul(plan.dispatch.to(x.scalar_type()), x) : x.index_select(0, plan.token);
  if (exchange != nullptr) here = exchange->dispatch(here, plan, offsets);
  HeldWeights held(store, offsets);
  auto answers = bank.forward(here, offsets);
  held.release();
  if (exchange != nullptr) answers = exchange->collect(answers, plan);
  return plan.soft() ? at::matmul(plan.combine.to(x.scalar_type()), answers)
                     : scatter_rows(answers, plan.token, plan.weight, plan.tokens);
}

}  // namespace gw::inline mixture
