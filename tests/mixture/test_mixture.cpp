#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/load.h"
#include "tests/support/waken.h"

namespace gw::test::mixture_cases {

gw::Json base(const std::string& bank) {
  gw::Json json{{"experts", 4}, {"in", 6}, {"seed", 3}, {"bank", {{"part", bank}}}};
  json["gate"] = {{"part", bank == "conv" ? "pooled_linear" : "linear"}};
  return json;
}

at::Tensor rows(const std::string& bank, int64_t n) {
  const auto x = gw::ops::normal(
      gw::Rng(1), bank == "conv" ? std::vector<int64_t>{n, 6, 5, 5} : std::vector<int64_t>{n, 6}, 0, 1);
  return x.to(at::kDouble);
}

std::shared_ptr<gw::Mixture> make(const gw::Json& json) {
  auto mixture = gw::Mixture::from_json(json);
  mixture->to(at::kDouble);
  return mixture;
}

class BankConformance : public testing::TestWithParam<std::string> {};

TEST_P(BankConformance, EqualsTheSumOverExpertsWrittenOut) {
  auto json = base(GetParam());
  json["shared_experts"] = 1;
  const auto mixture = make(json);
  waken(*mixture);
  const auto x = rows(GetParam(), 9);
  const auto out = mixture->forward(x);
  auto expected = at::zeros_like(out.y);
  for (int64_t e = 0; e < 4; ++e) {
    const auto y = mixture->bank().run_one(x, e);
    for (int64_t r = out.plan.offsets[static_cast<size_t>(e)];
         r < out.plan.offsets[static_cast<size_t>(e) + 1]; ++r) {
      const int64_t t = out.plan.token[r].item<int64_t>();
      expected[t] += out.plan.weight[r] * y[t];
    }
  }
  const auto without = make(base(GetParam()));
  waken(*without);
  EXPECT_LT((without->forward(x).y - expected).abs().max().item<double>(), 1e-12);
  EXPECT_GT((out.y - expected).abs().max().item<double>(), 1e-6);  // the shared expert contributes
}

TEST_P(BankConformance, PermutationAndSplit) {
  const auto mixture = make(base(GetParam()));
  mixture->eval();
  const auto x = rows(GetParam(), 11);
  const auto y = mixture->forward(x).y;
  const auto order = at::randperm(11, at::kLong);
  EXPECT_LT(
      (mixture->forward(x.index_select(0, order)).y - y.index_select(0, order)).abs().max().item<double>(),
      1e-12);
  const auto split = at::cat({mixture->forward(x.narrow(0, 0, 3)).y, mixture->forward(x.narrow(0, 3, 8)).y});
  EXPECT_LT((split - y).abs().max().item<double>(), 1e-12);
}

TEST_P(BankConformance, NoTokensOneTokenAndEmptyExperts) {
  const auto mixture = make(base(GetParam()));
  EXPECT_EQ(mixture->forward(rows(GetParam(), 0)).y.size(0), 0);
  const auto out = mixture->forward(rows(GetParam(), 1));
  EXPECT_EQ(out.y.size(0), 1);
  const auto gradients = torch::autograd::grad({out.y.sum()}, mixture->bank().parameters());
  for (int64_t e = 0; e < 4; ++e) {  // top-2 of 4: two experts are empty, and their gradient is exactly zero
    if (out.plan.rows_of(e) > 0) continue;
    for (const auto& g : gradients) {
      const int64_t each = g.size(0) / 4;
      EXPECT_EQ(g.narrow(0, e * each, each).abs().max().item<double>(), 0);
    }
  }
}

TEST_P(BankConformance, GradientMatchesFiniteDifferences) {
  const auto mixture = make(base(GetParam()));
  auto x = rows(GetParam(), 3).requires_grad_(true);
  const auto loss = [&](const at::Tensor& input) { return mixture->forward(input).y.square().sum(); };
  const auto g = torch::autograd::grad({loss(x)}, {x})[0].flatten();
  for (int64_t i = 0; i < g.numel(); i += 5) {
    const double h = 1e-6;
    auto up = x.detach().clone(), down = x.detach().clone();
    up.view({-1})[i] += h, down.view({-1})[i] -= h;
    const double numeric = (loss(up) - loss(down)).item<double>() / (2 * h);
    EXPECT_NEAR(g[i].item<double>(), numeric, 1e-5 * (1 + std::abs(numeric)));
  }
}

std::vector<std::string> banks() {
  std::vector<std::string> out;
  for (const auto& part : gw::Registry::instance().list("banks")) out.push_back(part.name);
  return out;
}
const auto kName = [](const auto& bank) {
  return bank.param;
};  // not inside the macro: its own "info" would be shadowed
INSTANTIATE_TEST_SUITE_P(All, BankConformance, testing::ValuesIn(banks()), kName);

class CountingExchange : public gw::TokenExchange {
 public:
  int dispatched = 0, collected = 0;
  at::Tensor dispatch(const at::Tensor& rows, const gw::RoutingPlan& plan,
                      std::vector<int64_t>& offsets) override {
    ++dispatched;
    return TokenExchange::dispatch(rows, plan, offsets);
  }
  at::Tensor collect(const at::Tensor& answers, const gw::RoutingPlan&) override {
    ++collected;
    return answers * 2;
  }
};

class CountingStore : public gw::WeightStore {
 public:
  std::vector<int64_t> acquired, released;
  void acquire(const std::vector<int64_t>& offsets) override { acquired = offsets; }
  void release(const std::vector<int64_t>& offsets) override { released = offsets; }
};

TEST(Mixture, SeamsSeeEveryPass) {
  const auto mixture = make(base("mlp"));
  const auto x = rows("mlp", 5);
  const auto plain = mixture->forward(x);
  const auto exchange = std::make_shared<CountingExchange>();
  const auto store = std::make_shared<CountingStore>();
  mixture->set_exchange(exchange);
  mixture->set_store(store);
  EXPECT_LT((mixture->forward(x).y - 2 * plain.y).abs().max().item<double>(), 1e-12);
  EXPECT_EQ(exchange->dispatched, 1);
  EXPECT_EQ(exchange->collected, 1);
  EXPECT_EQ(store->acquired, plain.plan.offsets);
  EXPECT_EQ(store->released, plain.plan.offsets);
}

TEST(Mixture, BalancersTrainACollapsedRouterBack) {
  auto json = base("mlp");
  json["balancers"] = {"switch_loss"};
  json["policy"] = {{"part", "softmax_top_k"}, {"k", 1}};
  json["gate"] = {{"part", "linear"}, {"bias", true}};
  const auto mixture = make(json);
  {
    const at::NoGradGuard no_grad;
    for (auto& item : mixture->gate().named_parameters()) {
      if (item.key() == "bias") item.value()[0] += 1.0;
    }
  }
  const auto x = rows("mlp", 256);
  ASSERT_LT(gw::load_entropy(mixture->forward(x).plan), 0.1);
  for (int step = 0; step < 200; ++step) {
    const auto loss = mixture->forward(x).plan.aux.at("switch_loss") * 100;
    const auto parameters = mixture->gate().parameters();
    const auto gradients = torch::autograd::grad({loss}, parameters);
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < parameters.size(); ++i) parameters[i].add_(gradients[i], -0.3);
  }
  EXPECT_GT(gw::load_entropy(mixture->forward(x).plan), 0.9);
}

TEST(Mixture, RefusesWhatDoesNotFit) {
  EXPECT_THROW(make({{"in", 6}, {"experts", 2}, {"policy", {{"part", "softmax_top_k"}, {"k", 3}}}}),
               gw::ValueError);
  EXPECT_THROW(make({{"experts", 2}}), gw::ValueError);
  EXPECT_THROW(make({{"in", 6}, {"gate", {{"part", "liner"}}}}), gw::ValueError);
  const auto mixture = make(base("mlp"));
  EXPECT_THROW(mixture->forward(at::zeros({3, 7}, at::kDouble)), gw::ValueError);
  EXPECT_THROW(mixture->forward(at::full({3, 6}, std::nan(""), at::kDouble)), gw::NumericError);
}

}  // namespace gw::test::mixture_cases
