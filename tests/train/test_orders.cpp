// Which examples an epoch has: shares by temperature, domains that enter late, and the order by second
// experts.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "gatewright/base/registry.h"
#include "gatewright/train/order.h"
#include "tests/support/refusal.h"
#include "tests/train/small_run.h"

namespace gw::test::orders_cases {

std::shared_ptr<Order> order(const std::string& part, const Json& options = Json::object()) {
  return make_part<Order>(part, options, {});
}

TEST(Orders, EveryPartHasASummaryAndRefusesWhatItDoesNotKnow) {
  const auto parts = Registry::instance().list("orders");
  ASSERT_GE(parts.size(), 2u);
  for (const auto& part : parts) {
    EXPECT_FALSE(part.summary.empty()) << part.name;
    EXPECT_THROW(order(part.name, {{"no_such_option", 1}}), ValueError) << part.name;
  }
}

/// Token t of an example of need n gets a second expert where t < n; three tokens an example, two layers, of
/// which the second never needs one.
class Needy : public Model {
 public:
  Needy() : Model("Needy") {}
  Output answer(const Batch& batch, const Pass&) override {
    EXPECT_FALSE(is_training());
    const auto need = batch.at("need");
    const auto second = at::arange(3, at::kLong).unsqueeze(0).lt(need.unsqueeze(1)).flatten();
    Output out;
    out.answer = at::zeros({batch.size(), 2});
    for (const bool asks : {true, false}) {
      RoutingPlan plan;
      plan.tokens = 3 * batch.size();
      const auto first = at::arange(plan.tokens, at::kLong);
      const auto more = asks ? second.nonzero().flatten() : at::empty({0}, at::kLong);
      plan.token = at::cat({first, more});
      plan.offsets = {0, plan.tokens, plan.tokens + more.size(0)};
      plan.weight = at::ones({plan.token.size(0)});
      plan.scores = at::zeros({plan.tokens, 2});
      out.plans.push_back({asks ? "asks" : "does not", plan});
    }
    return out;
  }
  Batch example(int64_t, const Rng&) const override { return {}; }
  bool routed() const override { return true; }
};

TensorSet domains_of(const std::vector<int64_t>& sizes) {
  std::vector<at::Tensor> all;
  for (size_t d = 0; d < sizes.size(); ++d)
    all.push_back(at::full({sizes[d]}, static_cast<int64_t>(d), at::kLong));
  TensorSet set;
  set.fields["domain"] = at::cat(all);
  return set;
}

std::map<int64_t, int64_t> met(const TensorSet& set, const std::vector<int64_t>& rows) {
  std::map<int64_t, int64_t> counts;
  for (const int64_t row : rows) ++counts[set.at("domain")[row].item<int64_t>()];
  return counts;
}

TEST(DomainOrder, SharesAreThoseOfTheTemperature) {
  const auto set = domains_of({810, 160, 30});
  Needy model;
  const EpochStart start{set, model, 0, 4, Rng(1)};
  for (const double temperature : {1.0, 2.0, 5.0, 1e6}) {
    const auto rows = order("domains", {{"temperature", temperature}})->rows(start);
    ASSERT_EQ(rows.size(), 1000u);
    double sum = 0;
    for (const double n : {810.0, 160.0, 30.0}) sum += std::pow(n, 1 / temperature);
    const auto counts = met(set, rows);
    for (const auto& [domain, n] : {std::pair{0, 810.0}, {1, 160.0}, {2, 30.0}})
      EXPECT_NEAR(static_cast<double>(counts.at(domain)), 1000 * std::pow(n, 1 / temperature) / sum, 1.0)
          << temperature << " " << domain;
    if (temperature == 1) {  // every example once
      auto sorted = rows;
      std::sort(sorted.begin(), sorted.end());
      std::vector<int64_t> all(1000);
      std::iota(all.begin(), all.end(), int64_t{0});
      EXPECT_EQ(sorted, all);
      EXPECT_NE(rows, all);
    }
  }
}

// A domain's examples come in turn: over the epochs none is met twice more than another.
TEST(DomainOrder, ExamplesOfADomainAreMetEquallyOften) {
  const auto set = domains_of({90, 17, 4});
  Needy model;
  const auto part = order("domains", {{"temperature", 5}});
  std::vector<int64_t> count(111, 0);
  for (int64_t epoch = 0; epoch < 5; ++epoch)
    for (const int64_t row : part->rows({set, model, epoch, 5, Rng(1)})) ++count[static_cast<size_t>(row)];
  for (const auto& [first, last] : {std::pair{0, 90}, {90, 107}, {107, 111}}) {
    const auto [least, most] = std::minmax_element(count.begin() + first, count.begin() + last);
    EXPECT_LE(*most - *least, 1) << first;
    EXPECT_GT(*most, 0);
  }
}

TEST(DomainOrder, DomainsEnterWithTheEpochThatBeginsThen) {
  const auto set = domains_of({60, 30, 10});
  Needy model;
  const auto part = order("domains", {{"enter", {0.0, 0.5, 0.7}}});
  for (int64_t epoch = 0; epoch < 8; ++epoch) {
    const auto counts = met(set, part->rows({set, model, epoch, 8, Rng(1)}));
    EXPECT_EQ(counts.count(1), epoch >= 4 ? 1u : 0u) << epoch;
    EXPECT_EQ(counts.count(2), epoch >= 6 ? 1u : 0u) << epoch;  // 5.6
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), int64_t{0},
                              [](int64_t sum, const auto& item) { return sum + item.second; }),
              100);
  }
}

TEST(DomainOrder, IsAFunctionOfEpochAndStream) {
  const auto set = domains_of({50, 20});
  Needy model;
  const auto part = order("domains", {{"temperature", 3}});
  const auto rows = [&](int64_t epoch, uint64_t seed) {
    return part->rows({set, model, epoch, 9, Rng(seed)});
  };
  EXPECT_EQ(rows(3, 1), rows(3, 1));
  EXPECT_NE(rows(3, 1), rows(4, 1));
  EXPECT_NE(rows(3, 1), rows(3, 2));
}

TEST(DomainOrder, RefusesWhatItCannotOrder) {
  const auto set = domains_of({5, 5});
  TensorSet without;
  without.fields["x"] = at::zeros({4, 1});
  Needy model;
  const auto said = [&](const Json& options, const TensorSet& rows, double epochs) {
    return refusal<ValueError>([&] { order("domains", options)->rows({rows, model, 0, epochs, Rng(1)}); });
  };
  expect_part(said(Json::object(), without, 4), "expected data with the field \"domain\"");
  expect_part(said({{"enter", {0, 0, 0}}}, set, 4), "each of 2 domains in \"enter\", got 3");
  expect_part(said({{"enter", {0, 0.5}}}, set, 0), "got a budget in seconds");
  expect_part(said({{"enter", {0.5, 0.5}}}, set, 4), "a domain that is met in epoch 0");
}

TEST(ExpertOrder, SimpleExamplesComeFirstAndLikeOnesTogether) {
  TensorSet set;
  const Rng rng(1);
  std::vector<int64_t> need;
  for (uint64_t i = 0; i < 600; ++i) need.push_back(static_cast<int64_t>(rng.below(i, 4)));
  set.fields["need"] = at::tensor(need, at::kLong);
  Needy model;
  const auto rows = order("experts")->rows({set, model, 2, 5, Rng(1)});
  ASSERT_EQ(rows.size(), 600u);
  // All shares lie on one ray or are zero: the number of second experts decides, equals stay in order.
  std::vector<int64_t> expected(600);
  std::iota(expected.begin(), expected.end(), int64_t{0});
  std::stable_sort(expected.begin(), expected.end(), [&](int64_t a, int64_t b) {
    return need[static_cast<size_t>(a)] < need[static_cast<size_t>(b)];
  });
  EXPECT_EQ(rows, expected);
  // Within batches of 50 the share's variance is less than half of what a drawn order has.
  const auto within = [&](const std::vector<int64_t>& placed) {
    double sum = 0;
    for (size_t b = 0; b < 600; b += 50) {
      double mean = 0, square = 0;
      for (size_t i = b; i < b + 50; ++i) {
        const auto value = static_cast<double>(need[static_cast<size_t>(placed[i])]) / 3;
        mean += value / 50, square += value * value / 50;
      }
      sum += square - mean * mean;
    }
    return sum / 12;
  };
  EXPECT_LE(2 * within(rows), within(Rng(4).permutation(600)));
}

TEST(ExpertOrder, RefusesAModelWithoutARouter) {
  class Plain : public Model {
   public:
    Plain() : Model("Plain") {}
    Output answer(const Batch& batch, const Pass&) override { return {at::zeros({batch.size(), 2}), {}}; }
    Batch example(int64_t, const Rng&) const override { return {}; }
    bool routed() const override { return false; }
  };
  Plain model;
  const auto set = domains_of({3});
  expect_part(refusal<ValueError>([&] {
                order("experts")->rows({set, model, 0, 1, Rng(1)});
              }),
              "expected a model with a router");
}

TEST(LoaderArrange, TakesTheRowsThatItIsGiven) {
  Loader loader(domains_of({3, 3}), 4, {}, true, Rng(1));
  loader.arrange(2, {5, 5, 0, 1, 1, 2});
  EXPECT_TRUE(at::equal(loader.get(2, 0).index, at::tensor({5, 5, 0, 1}, at::kLong)));
  EXPECT_TRUE(at::equal(loader.get(2, 1).at("domain"), at::tensor({0, 0}, at::kLong)));
  EXPECT_THROW(loader.arrange(0, {1, 2}), ValueError);
  EXPECT_THROW(loader.arrange(0, {0, 1, 2, 3, 4, 6}), ValueError);
}

TrainConfig bytes(const Json& by) {
  TrainConfig config;
  config.name = "orders", config.arm = "bytes";
  config.task = "next_token", config.optimizer = "adam", config.objective = "natural";
  config.data = Json{{"part", "bytes"}, {"context", 128}};
  config.network = Json{{"part", "token_mixer"},
                        {"width", 8},
                        {"depth", 1},
                        {"mixture",
                         {{"experts", 3},
                          {"policy", {{"part", "adaptive"}, {"gap", 0.2}}},
                          {"bank", {{"part", "mlp"}, {"hidden", 8}}}}}};
  config.schedule = Json{{"lr", 0.01}}, config.epochs = 2, config.batch = 64;
  if (!by.empty()) config.order = by;
  return config;
}

std::map<std::string, at::Tensor> weights(Trainer& trainer) {
  std::map<std::string, at::Tensor> out;
  for (const auto& item : trainer.model().named_parameters()) out[item.key()] = item.value().detach().clone();
  return out;
}

// The order of an epoch comes from the weights at its beginning, which a run that was cut within it has no
// more.
TEST(TrainingInAnOrder, GoesOnToTheSameBits) {
  for (const Json& choice : {Json{{"part", "experts"}}, Json{{"part", "domains"}, {"temperature", 4}}}) {
    const Scratch whole_place, cut_place;
    Recording whole, cut;
    Trainer at_once(bytes(choice));
    at_once.run({whole_place.path()}, whole);
    int64_t steps = 0;
    for (const auto& record : whole.records) steps += record.at("kind") == Json("train") ? 1 : 0;
    ASSERT_GE(steps, 6);
    cut.stop_after = steps / 2 + 2;  // within the second epoch
    {
      Trainer trainer(bytes(choice));
      EXPECT_THROW(trainer.run({cut_place.path(), false, &cut.stop}, cut), Interrupted);
    }
    Trainer again(bytes(choice));
    again.run({cut_place.path(), true}, cut);
    const auto expected = weights(at_once), got = weights(again);
    for (const auto& [name, tensor] : expected)
      EXPECT_TRUE(at::equal(tensor, got.at(name))) << choice << name;
    ASSERT_EQ(whole.records.size(), cut.records.size());
    for (size_t i = 0; i < whole.records.size(); ++i)
      EXPECT_EQ(whole.records[i], cut.records[i]) << choice << i;
  }
}

TEST(TrainingInAnOrder, IsAnotherTrainingThanADrawnOne) {
  const Scratch a_place, b_place;
  Recording a, b;
  Trainer drawn(bytes(Json::object())), ordered(bytes({{"part", "experts"}}));
  drawn.run({a_place.path()}, a), ordered.run({b_place.path()}, b);
  EXPECT_NE(a.records.at(0).at("loss"), b.records.at(0).at("loss"));
  EXPECT_FALSE(
      drawn.config().document().contains("order"));  // runs of before are still those of their recipes
  EXPECT_TRUE(ordered.config().document().contains("order"));
}

}  // namespace gw::test::orders_cases
