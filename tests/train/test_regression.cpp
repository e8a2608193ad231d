// A number for each row: what is measured of a whole set, and the made rules that it is tried on.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/train/task.h"
#include "tests/support/refusal.h"

namespace gw::test::regression_cases {

// Fails if the share that is explained is measured batch by batch, or against another mean than the rows'.
TEST(Regression, R2IsOfAllRowsTogether) {
  TrainConfig config;
  const auto task = make_part<Task>("regression", Json::object(), {config});
  const auto y = at::tensor({1.0, 2.0, 4.0, 9.0}, at::kFloat),
             said = at::tensor({1.5, 2.0, 3.0, 7.0}, at::kFloat);
  std::map<std::string, double> sums;
  for (int64_t first = 0; first < 4; first += 2) {  // two batches of two
    Batch batch;
    batch.fields["y"] = y.narrow(0, first, 2);
    Output out;
    out.answer = said.narrow(0, first, 2).unsqueeze(1);
    for (const auto& [name, value] : task->measure(out, batch, task->loss(out, batch).item<double>()))
      sums[name] += value / 2;
  }
  task->finish(sums);
  const double error = (0.25 + 0 + 1 + 4) / 4, variance = (9.0 + 4 + 0 + 25) / 4;
  EXPECT_NEAR(sums.at("r2"), 1 - error / variance, 1e-9);
  EXPECT_NEAR(sums.at("rmse"), std::sqrt(error), 1e-9);
  EXPECT_EQ(sums.size(), 2u) << "nothing else is left";
  std::map<std::string, double> constant{{"rmse", 1.0}, {"mean of y", 2.0}, {"mean square of y", 4.0}};
  task->finish(constant);
  EXPECT_EQ(constant.count("r2"), 0u) << "nothing varies that could be explained";
}

TEST(RuleTable, IsItsRule) {
  const auto data =
      make_part<Dataset>("rule_table", {{"noise", 0.0}, {"train", 500}, {"test", 50}}, {})->load();
  const auto x = data.train.at("x").to(at::kDouble), y = data.train.at("y").to(at::kDouble);
  EXPECT_LT(x.mean(0).abs().max().item<double>(), 1e-5);
  EXPECT_LT((x.square().mean(0) - 1).abs().max().item<double>(), 1e-4);
  EXPECT_LT((y.square().mean() - 1).abs().item<double>(), 1e-4);
  EXPECT_EQ(data.known_pairs, (std::vector<std::pair<int64_t, int64_t>>{{1, 2}, {3, 4}}));
  // Standardising moves each input by a line: of rows with x2 and x3 both far above, the answer rises with
  // x3.
  const auto far = x.select(1, 1).gt(1).logical_and(x.select(1, 2).abs().gt(1));
  const auto product = (x.select(1, 1) * x.select(1, 2)).masked_select(far), told = y.masked_select(far);
  const auto centred = [](const at::Tensor& v) { return v - v.mean(); };
  const double together = (centred(product) * centred(told)).mean().item<double>();
  EXPECT_GT(
      together / (centred(product).square().mean() * centred(told).square().mean()).sqrt().item<double>(),
      0.7);
  const auto friedman =
      make_part<Dataset>("rule_table", {{"rule", "friedman"}, {"train", 200}, {"test", 50}}, {})->load();
  EXPECT_EQ(friedman.known_pairs.size(), 1u);
  expect_part(refusal<ValueError>([] {
                make_part<Dataset>("rule_table", {{"rule", "friedmann"}}, {});
              }),
              "did you mean \"friedman\"?");
}

}  // namespace gw::test::regression_cases
