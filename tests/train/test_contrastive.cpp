// Pairs among others: the loss against its equations, thresholds against all there are.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/pair_scores.h"
#include "gatewright/train/task.h"
#include "tests/support/gradcheck.h"
#include "tests/support/refusal.h"

namespace gw::test::contrastive_cases {

std::shared_ptr<Task> task(const Json& options) {
  static const TrainConfig config;
  return make_part<Task>("contrastive", options, {config});
}

Batch batch_of(const std::vector<int64_t>& domain) {
  Batch batch;
  batch.fields["domain"] = at::tensor(domain, at::kLong);
  batch.index = at::arange(batch.fields["domain"].size(0), at::kLong);
  return batch;
}

/// −log of the own partner's share, one pair at a time.
double plain(const at::Tensor& answer, const std::vector<int64_t>& domain, bool within, bool turned) {
  const auto n = static_cast<int64_t>(domain.size());
  const auto a = answer.select(1, turned ? 1 : 0), b = answer.select(1, turned ? 0 : 1);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    double all = 0;
    for (int64_t j = 0; j < n; ++j) {
      if (within && domain[static_cast<size_t>(i)] != domain[static_cast<size_t>(j)]) continue;
      all += std::exp(at::dot(a[i], b[j]).item<double>());
    }
    sum += std::log(all) - at::dot(a[i], b[i]).item<double>();
  }
  return sum / static_cast<double>(n);
}

TEST(Contrastive, IsItsEquation) {
  const std::vector<int64_t> domain{0, 1, 0, 1, 1, 2};
  const auto answer = ops::normal(Rng(1), {6, 2, 5}, 0, 1).to(at::kDouble);
  const auto batch = batch_of(domain);
  for (const bool within : {false, true}) {
    for (const bool symmetric : {false, true}) {
      const auto part = task({{"within", within ? "domain" : "batch"}, {"symmetric", symmetric}});
      double expected = plain(answer, domain, within, false);
      if (symmetric) expected = (expected + plain(answer, domain, within, true)) / 2;
      EXPECT_NEAR(part->loss({answer, {}}, batch).item<double>(), expected, 1e-12);
      const auto loss = [&](const std::vector<at::Tensor>& in) {
        return std::vector<at::Tensor>{part->loss({in[0], {}}, batch)};
      };
      EXPECT_LE(gradient_error(loss, {answer}), 1e-7);
    }
  }
}

TEST(Contrastive, FindsThePartner) {
  const auto one = at::eye(4, at::kDouble);
  const auto own = at::stack({one, one}, 1), other = at::stack({one, one.roll(1, 0)}, 1);
  const auto batch = batch_of({0, 0, 1, 1});
  EXPECT_EQ(task({})->measure({own, {}}, batch, 0.5).at("found"), 1.0);
  EXPECT_EQ(task({})->measure({other, {}}, batch, 0.5).at("found"), 0.0);
  EXPECT_EQ(task({})->measure({own, {}}, batch, 0.5).at("contrastive_loss"), 0.5);
}

TEST(Contrastive, RefusesOtherAnswers) {
  const auto batch = batch_of({0, 0, 1});
  const auto refused = [&](const at::Tensor& answer) {
    return refusal<ValueError>([&] { task({})->loss({answer, {}}, batch); });
  };
  expect_part(refused(at::zeros({3, 4})), "two vectors for each of 3 pairs");
  expect_part(refused(at::zeros({2, 2, 4})), "two vectors for each of 3 pairs");
  expect_part(refusal<ValueError>([] { task({{"within", "domains"}}); }), "domain");
}

TEST(PairScores, TheThresholdIsTheBestOfAll) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    // Few different values, so that there are ties.
    const auto together = (ops::normal(Rng(seed), {9}, 0.5, 1) * 2).round();
    const auto apart = (ops::normal(Rng(seed + 100), {12}, -0.5, 1) * 2).round();
    const double found = f1_at(best_threshold(together, apart), together, apart);
    for (double threshold = -9.25; threshold < 9; threshold += 0.5)
      EXPECT_GE(found, f1_at(threshold, together, apart)) << seed << " " << threshold;
  }
  const auto some = at::tensor({0.9, 0.4, 0.1});
  EXPECT_DOUBLE_EQ(f1_at(0.5, some, at::tensor({0.7, 0.2})), 2.0 / (2 + 1 + 2));
  EXPECT_EQ(f1_at(2, some, some), 0);
}

TEST(PairScores, ThresholdsComeFromOtherPairs) {
  // Pairs by turns: similarities 0.8 and 0.2 set a threshold of 0.5 that the second kind, 0.4, does not
  // reach.
  const auto unit = [](double cosine) { return at::tensor({cosine, std::sqrt(1 - cosine * cosine)}); };
  const auto pair = [&](double cosine, double turn) {
    const auto turned =
        at::tensor({std::cos(turn), -std::sin(turn), std::sin(turn), std::cos(turn)}).view({2, 2});
    return at::stack({at::matmul(turned, at::tensor({1.0, 0.0})), at::matmul(turned, unit(cosine))});
  };
  const double half = std::acos(-1.0);
  const auto good = at::stack({pair(0.8, 0), pair(0.8, 0), pair(0.8, half), pair(0.8, half)});
  const auto scores = pair_scores(good);
  EXPECT_EQ(scores.f1, 1);
  EXPECT_EQ(scores.found, 1);
  EXPECT_NEAR(scores.together, 0.8, 1e-6);
  EXPECT_NEAR(scores.apart, -0.8, 1e-6);
  const auto mixed = at::stack({pair(0.8, 0), pair(-0.1, 0), pair(0.8, half), pair(-0.1, half)});
  EXPECT_EQ(pair_scores(mixed).f1, 0.0) << "0 lies between 0.8 and -0.8, above what the measured pairs have";
}

TEST(PairScores, RefusesFewPairsAndWhatIsNoNumber) {
  expect_part(refusal<ValueError>([] { pair_scores(at::ones({3, 2, 4})); }), "at least 4 pairs");
  expect_part(refusal<ValueError>([] { best_threshold(at::empty({0}), at::ones({2})); }), "got none");
  const auto bad = at::full({2}, std::numeric_limits<double>::quiet_NaN());
  expect_part(refusal<ValueError>([&] { best_threshold(bad, bad); }), "finite");
}

}  // namespace gw::test::contrastive_cases
