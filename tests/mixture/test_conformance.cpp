// Every policy, every bank, every executor: the plan's weights multiply the experts' answers, and what was
// acquired is released.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "tests/routing/parts.h"
#include "tests/support/waken.h"

namespace gw::test::conformance_cases {

/// Multiplies the rows' weights by factors of their own; remembers the plan.
struct ScaleWeights : gw::RouteTap {
  gw::RoutingPlan seen;
  gw::RoutingPlan decide(const gw::RouteQuery& query) override {
    auto plan = query.chosen();
    const auto factor = [](at::IntArrayRef shape) {
      return gw::ops::uniform(gw::Rng(8), shape, 0.5, 3).to(at::kDouble);
    };
    if (plan.soft()) {
      plan.combine = plan.combine * factor(plan.combine.sizes());
    } else {
      plan.weight = plan.weight * factor(plan.weight.sizes());
    }
    seen = plan;
    return plan;
  }
};

gw::Json table(const std::string& policy, const std::string& bank, const std::string& execution = "fused") {
  gw::Json json{{"experts", kExperts},
                {"in", kWidth},
                {"seed", 3},
                {"execution", execution},
                {"policy", {{"part", policy}}},
                {"bank", {{"part", bank}}}};
  json["gate"] = {{"part", bank == "conv" ? "pooled_linear" : "linear"}};
  return json;
}

at::Tensor batch(const std::string& bank, int64_t tokens) {
  const std::vector<int64_t> shape =
      bank == "conv" ? std::vector<int64_t>{tokens, kWidth, 5, 5} : std::vector<int64_t>{tokens, kWidth};
  return gw::ops::normal(gw::Rng(1), shape, 0, 1).to(at::kDouble);
}

// y_t = Σ_e w_te · expert_e(x_t), by the bank's run_one; soft plans: Σ_n combine_tn · expert(Σ_t dispatch_nt
// x_t).
at::Tensor written_out(gw::Mixture& layer, const gw::RoutingPlan& plan, const at::Tensor& x) {
  at::Tensor y;
  const auto add = [&](const at::Tensor& part) { y = y.defined() ? y + part : part; };
  for (int64_t e = 0; e < plan.experts(); ++e) {
    if (plan.soft()) {
      const int64_t first = plan.offsets[static_cast<size_t>(e)], rows = plan.rows_of(e);
      const auto slots = at::matmul(plan.dispatch.narrow(0, first, rows), x);
      add(at::matmul(plan.combine.narrow(1, first, rows), layer.bank().run_one(slots, e)));
      continue;
    }
    const auto one = layer.bank().run_one(x, e);
    std::vector<int64_t> per_row(static_cast<size_t>(one.dim()), 1);
    per_row[0] = plan.tokens;
    add(one * gw::dense_weights(plan).select(1, e).view(per_row));
  }
  return y;
}

class WeightsConformance : public testing::TestWithParam<std::string> {
 protected:
  void check(const std::string& bank, const std::string& execution) const {
    const bool exchanged = execution == "exchanged";
    const auto layer = gw::Mixture::from_json(table(GetParam(), bank, exchanged ? "fused" : execution));
    layer->to(at::kDouble), layer->eval();
    gw::test::waken(layer->bank());
    if (exchanged) layer->set_exchange(std::make_shared<gw::TokenExchange>());
    const auto x = batch(bank, 9);
    auto inputs = inputs_for(9);
    inputs.scores = scores_for(layer->policy(), 9, 4).abs();
    const auto tap = std::make_shared<ScaleWeights>();
    layer->set_tap(tap, "block");
    const at::NoGradGuard no_grad;
    const auto y = layer->forward(x, inputs).y, want = written_out(*layer, tap->seen, x);
    EXPECT_GT(want.abs().max().item<double>(), 1e-3) << bank;
    EXPECT_LT((y - want).abs().max().item<double>(), 1e-10) << bank << ", " << execution;
  }
};

TEST_P(WeightsConformance, EveryBankAndExecutorMultipliesByThem) {
  for (const auto& bank : names("banks")) {
    if (bank == "conv" && has_trait("policies", GetParam(), "soft slots"))
      continue;  // slots mix tokens, not maps: refused
    for (const std::string execution : {"fused", "bucketed", "masked", "exchanged"}) check(bank, execution);
  }
}

INSTANTIATE_TEST_SUITE_P(All, WeightsConformance, testing::ValuesIn(names("policies")), kPartName);

struct CountedStore : gw::WeightStore {
  int acquired = 0, released = 0;
  bool refuses = false;
  void acquire(const std::vector<int64_t>&) override {
    if (refuses) throw gw::IoError("store: no such expert");
    ++acquired;
  }
  void release(const std::vector<int64_t>&) override { ++released; }
};

TEST(WeightStore, IsReleasedWhenAnExpertThrows) {
  for (const bool exchanged : {false, true}) {
    const auto layer = gw::Mixture::from_json(table("softmax_top_k", "mlp"));
    layer->to(at::kDouble);
    const auto store = std::make_shared<CountedStore>();
    layer->set_store(store);
    layer->set_exchange(exchanged ? std::make_shared<gw::TokenExchange>() : nullptr);
    layer->forward(batch("mlp", 5));
    EXPECT_EQ(store->acquired, 1);
    EXPECT_EQ(store->released, 1);
    layer->bank().named_parameters()["w2"].set_data(at::zeros({1, 2, 3}, at::kDouble));
    EXPECT_THROW(layer->forward(batch("mlp", 5)), gw::ValueError);
    EXPECT_EQ(store->acquired, 2);
    EXPECT_EQ(store->released, 2) << "the weights would be held for ever";
    store->refuses = true;
    EXPECT_THROW(layer->forward(batch("mlp", 5)), gw::IoError);
    EXPECT_EQ(store->released, 2) << "nothing was acquired";
  }
}

}  // namespace gw::test::conformance_cases
