// Bits, accuracy and whole examples of some domains, over batches of any size: against counts by hand in f64.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/task.h"
#include "tests/support/refusal.h"

namespace gw::test::domain_measures_cases {

/// Answers what the batch brings.
class Echo : public Model {
 public:
  Echo() : Model("Echo") {}
  Output answer(const Batch& batch, const Pass&) override { return {batch.at("given"), {}}; }
  Batch example(int64_t, const Rng&) const override { return {}; }
  bool routed() const override { return false; }
};

constexpr int64_t kRows = 300, kTokens = 5, kWords = 4;

TensorSet made() {
  TensorSet set;
  const Rng rng(3);
  set.fields["given"] = ops::normal(rng.fork("given"), {kRows, kTokens, kWords}, 0, 2);
  set.fields["token"] = at::zeros({kRows, kTokens}, at::kLong);
  auto target = ops::uniform(rng.fork("target"), {kRows, kTokens}, 0, kWords).to(at::kLong);
  // Half of the rows are answered rightly, and texts have 2 to 5 tokens.
  const auto best = set.fields["given"].argmax(2);
  const auto row = at::arange(kRows, at::kLong), place = at::arange(kTokens, at::kLong);
  target = at::where(row.remainder(2).eq(0).unsqueeze(1), best, target);
  target = target.masked_fill(place.unsqueeze(0).ge((row.remainder(4) + 2).unsqueeze(1)), kNoTarget);
  set.fields["target"] = target;
  set.fields["domain"] = row.remainder(3).masked_fill(row.ge(270), 3);
  return set;
}

std::shared_ptr<Task> task(const Json& options) {
  static const TrainConfig config;
  return make_part<Task>("next_token", options, Task::Context{config});
}

const Json kGroups{{"names", {"a", "b"}}, {"domains", {{0, 3}, {2}}}, {"whole", true}};

struct ByHand {
  double nats = 0, right = 0, asked = 0, whole = 0, rows = 0;
};

ByHand by_hand(const TensorSet& set, const std::vector<int64_t>& domains) {
  ByHand out;
  for (int64_t r = 0; r < kRows; ++r) {
    const auto domain = set.at("domain")[r].item<int64_t>();
    if (std::find(domains.begin(), domains.end(), domain) == domains.end()) continue;
    bool whole = true;
    for (int64_t t = 0; t < kTokens; ++t) {
      const auto target = set.at("target")[r][t].item<int64_t>();
      if (target == kNoTarget) continue;
      double sum = 0, most = -1e9;
      int64_t best = 0;
      for (int64_t w = 0; w < kWords; ++w) {
        const double score = set.at("given")[r][t][w].item<double>();
        sum += std::exp(score);
        if (score > most) most = score, best = w;
      }
      out.nats -= set.at("given")[r][t][target].item<double>() - std::log(sum);
      out.asked += 1, out.right += best == target ? 1 : 0;
      whole = whole && best == target;
    }
    out.rows += 1, out.whole += whole ? 1 : 0;
  }
  return out;
}

TEST(DomainMeasures, AreThoseOfTheTokensOfTheirDomains) {
  const auto set = made();
  Echo model;
  const auto part = task(kGroups);
  const EvaluationPass pass{model, set, Rng(0), {}};
  const auto measured = part->test(pass);
  const auto expect = [&](const std::string& end, const ByHand& hand) {
    EXPECT_NEAR(measured.metrics.at("bits_per_token" + end), hand.nats / hand.asked / std::log(2.0), 1e-5)
        << end;
    EXPECT_NEAR(measured.metrics.at("accuracy" + end), hand.right / hand.asked, 1e-9) << end;
    EXPECT_NEAR(measured.metrics.at("exact_match" + end), hand.whole / hand.rows, 1e-9) << end;
  };
  expect(".a", by_hand(set, {0, 3}));
  expect(".b", by_hand(set, {2}));
  EXPECT_NEAR(measured.metrics.at("exact_match"), by_hand(set, {0, 1, 2, 3}).whole / kRows, 1e-9);
  for (const auto& [name, value] : measured.metrics) {
    EXPECT_EQ(name.find("sum_of_"), std::string::npos) << name;
    EXPECT_EQ(name.find("domain "), std::string::npos) << name;
  }
  const auto& table = measured.details.at("tables").at("domains");
  ASSERT_EQ(table.at("names"), Json({"0", "1", "2", "3"}));
  const auto one = by_hand(set, {1});
  EXPECT_NEAR(table.at("values")[1][0].get<double>(), one.nats / one.asked / std::log(2.0), 1e-5);
  EXPECT_NEAR(table.at("values")[1][2].get<double>(), one.whole / one.rows, 1e-9);
}

// Over batches of 7 as over all at once: means of means would be other numbers.
TEST(DomainMeasures, DoNotDependOnTheBatches) {
  const auto set = made();
  Echo model;
  const auto part = task(kGroups);
  const EvaluationPass pass{model, set, Rng(0), {}};
  const auto few = measure_set(*part, pass, 7).metrics, all = measure_set(*part, pass, kRows).metrics;
  for (const char* name : {"bits_per_token.a", "accuracy.b", "exact_match.a"})
    EXPECT_NEAR(few.at(name), all.at(name), 1e-9) << name;
}

TEST(DomainMeasures, TheirNamesAreKnownBefore) {
  const auto names = task(kGroups)->measures();
  EXPECT_EQ(names, (std::vector<std::string>{"bits_per_token", "accuracy", "exact_match", "bits_per_token.a",
                                             "accuracy.a", "exact_match.a", "bits_per_token.b", "accuracy.b",
                                             "exact_match.b"}));
  EXPECT_EQ(task(Json::object())->measures(), (std::vector<std::string>{"bits_per_token", "accuracy"}));
}

TEST(DomainMeasures, RefuseWhatCannotBeMeasured) {
  expect_part(refusal<ValueError>([] { task({{"names", {"a"}}}); }), "as many names as lists of domains");
  Echo model;
  const auto set = made();
  const auto part = task({{"names", {"none"}}, {"domains", Json::array({Json::array({17})})}});
  expect_part(refusal<ValueError>([&] {
                part->test({model, set, Rng(0), {}});
              }),
              "the domains of \"none\", got none");
  // A batch without any of them measures the others.
  EXPECT_EQ(measure_set(*part, {model, set, Rng(0), {}}, 50).metrics.count("bits_per_token.none"), 0u);
}

}  // namespace gw::test::domain_measures_cases
