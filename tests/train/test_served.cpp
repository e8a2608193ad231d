// How many experts serve a token: counted over a whole test set, and by domain.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/models/model.h"
#include "gatewright/train/config.h"
#include "gatewright/train/task.h"

namespace gw::test::served_cases {

/// Sends tokens of domain 0 to one expert, of domain 1 to two, of domain 2 to all three.
class Staircase : public Model {
 public:
  Staircase() : Model("Staircase") {}
  Output answer(const Batch& batch, const Pass&) override {
    const auto domain = batch.at("domain");
    RoutingPlan plan;
    plan.tokens = batch.size();
    std::vector<at::Tensor> token;
    plan.offsets = {0};
    for (int64_t e = 0; e < 3; ++e) {
      token.push_back(domain.ge(e).nonzero().flatten());
      plan.offsets.push_back(plan.offsets.back() + token.back().size(0));
    }
    plan.token = at::cat(token), plan.weight = at::ones({plan.token.size(0)});
    plan.scores = at::zeros({plan.tokens, 3});
    Output out;
    out.answer = at::zeros({batch.size(), 2});
    out.plans.push_back({"stairs", plan});
    return out;
  }
  Batch example(int64_t, const Rng&) const override { return {}; }
  bool routed() const override { return true; }
};

TEST(Served, CountsExpertsPerTokenAndBetweenDomains) {
  TensorSet set;
  set.fields["x"] = at::zeros({700, 1});
  set.fields["label"] = at::zeros({700}, at::kLong);
  // 400 of domain 0, 200 of domain 1, 100 of domain 2, over several batches.
  set.fields["domain"] =
      at::cat({at::zeros({400}, at::kLong), at::ones({200}, at::kLong), at::full({100}, 2)});
  Staircase model;
  const TrainConfig config;
  const auto task = make_part<Task>("classification", Json::object(), Task::Context{config});
  const EvaluationPass pass{model, set, Rng(1), {}, {}, nullptr};
  const auto measured = task->test(pass);
  EXPECT_DOUBLE_EQ(measured.metrics.at("experts_per_token"), (400 * 1 + 200 * 2 + 100 * 3) / 700.0);
  EXPECT_DOUBLE_EQ(measured.metrics.at("experts_per_token_spread"), 2);
}

}  // namespace gw::test::served_cases
