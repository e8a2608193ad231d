#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gatewright/base/rng.h"
#include "gatewright/kernels/em/family.h"

namespace {

using gw::kernels::em_family;
using gw::kernels::em_ref;
using gw::kernels::EmTable;
using Values = std::vector<double>;

Values random_values(uint64_t seed, int64_t count, double low, double high) {
  const gw::Rng rng(seed);
  Values values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = low + (high - low) * rng.uniform(i);
  return values;
}

struct Answer {
  Values linear, density, score, joint, residual, information, pair, sums, moments;
  double likelihood = 0, counted = 0;
};

/// Every function of a level on `rows` rows, `count` columns and `experts` experts.
Answer run(const EmTable& table, int64_t rows, int64_t count, int64_t experts) {
  const Values storage = random_values(1, rows * count, -2, 2), weight = random_values(2, rows, 0, 3),
               coefficient = random_values(3, count, -1, 1);
  std::vector<const double*> columns;
  for (int64_t j = 0; j < count; ++j) columns.push_back(storage.data() + j * rows);
  Answer a;
  a.linear.resize(static_cast<size_t>(rows));
  table.linear(columns.data(), count, rows, 0.25, coefficient.data(), a.linear.data());
  a.density = a.linear;
  table.gaussian(columns[0], rows, -0.3, 1.7, a.density.data());
  a.score = random_values(4, rows * experts, -30, 30), a.joint = random_values(5, rows * experts, -900, 5);
  for (int64_t r = 0; r < rows && experts > 1; r += 3)
    a.score[static_cast<size_t>(r)] = -std::numeric_limits<double>::infinity();
  Values score = a.score, joint = a.joint,
         whole(static_cast<size_t>(rows));  // weights 0 and 1 have a way of their own
  for (size_t r = 0; r < whole.size(); ++r) whole[r] = r % 5 == 0 ? 0 : 1;
  a.counted = table.posterior(score.data(), joint.data(), rows, experts, whole.data(), rows);
  a.likelihood = table.posterior(a.score.data(), a.joint.data(), rows, experts, weight.data(), rows);
  a.residual = a.information = a.pair = a.linear;
  table.residual(a.joint.data(), weight.data(), a.score.data(), rows, a.residual.data());
  table.information(weight.data(), a.score.data(), nullptr, rows, a.information.data());
  table.information(weight.data(), a.score.data(), a.score.data() + (experts - 1) * rows, rows,
                    a.pair.data());
  a.sums.assign(static_cast<size_t>(count), 1.0);
  table.sums(weight.data(), columns.data(), count, rows, a.sums.data());
  const int64_t apart = count * (count + 1) / 2 + 1;
  const Values weights = random_values(6, rows * 9, 0, 3);
  a.moments.assign(static_cast<size_t>(9 * apart), 1.0);
  for (int64_t more = 1; more <= 9; ++more)
    table.moments(weights.data(), rows, more, columns.data(), count, rows, a.moments.data(), apart);
  return a;
}

void expect_near(const Values& got, const Values& wanted, const char* what) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], wanted[i], 1e-12 * (1 + std::abs(wanted[i]))) << what << " " << i;
}

class MixtureLevels : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto& levels = em_family().levels();
    const auto found = std::find_if(levels.begin(), levels.end(),
                                    [](const auto& level) { return level.name == GetParam(); });
    ASSERT_NE(found, levels.end());
    if (!found->available) GTEST_SKIP() << found->reason;
    em_family().force(GetParam());
    ASSERT_NE(&em_family()(), &em_ref) << "the level was not forced";
  }
  void TearDown() override { em_family().force(""); }
};

TEST_P(MixtureLevels, AgreeWithTheReference) {
  for (const int64_t rows : {8, 16, 248, 512}) {
    for (const int64_t count : {1, 2, 3, 4, 5, 6, 9, 13}) {
      const int64_t experts = 1 + count % 5;
      const Answer wanted = run(em_ref, rows, count, experts), got = run(em_family()(), rows, count, experts);
      expect_near(got.linear, wanted.linear, "linear");
      expect_near(got.density, wanted.density, "density");
      expect_near(got.score, wanted.score, "score");
      expect_near(got.joint, wanted.joint, "joint");
      expect_near(got.residual, wanted.residual, "residual");
      expect_near(got.information, wanted.information, "information");
      expect_near(got.pair, wanted.pair, "pair");
      expect_near(got.sums, wanted.sums, "sums");
      expect_near(got.moments, wanted.moments, "moments");
      EXPECT_NEAR(got.counted, wanted.counted, 1e-12 * std::abs(wanted.counted));
      EXPECT_NEAR(got.likelihood, wanted.likelihood, 1e-12 * std::abs(wanted.likelihood));
    }
  }
}

// The exponential and the logarithm are our own: relative errors over their whole range, through a mixture of
// two.
TEST_P(MixtureLevels, ExponentialAndLogarithmAreExactToRounding) {
  constexpr int64_t kRows = 4096;
  Values score(2 * kRows, 0.0), joint(2 * kRows, 0.0), weight(kRows, 1.0);
  for (int64_t r = 0; r < kRows; ++r)
    score[static_cast<size_t>(kRows + r)] = -700.0 * static_cast<double>(r) / kRows;
  const Values before = score;
  em_family()().posterior(score.data(), joint.data(), kRows, 2, weight.data(), kRows);
  for (size_t r = 0; r < kRows; ++r) {
    const double wanted = std::exp(before[kRows + r]) / (1 + std::exp(before[kRows + r]));
    EXPECT_NEAR(score[kRows + r] / wanted, 1, 1e-14) << before[kRows + r];
  }
}

// A last score of 0 has a way of its own where no score exceeds 16: here in all rows, in the first 256, and
// in none; up to the most experts that it takes.
TEST_P(MixtureLevels, AReferenceExpertChangesNothing) {
  constexpr int64_t kRows = 512;
  for (const int64_t experts : {1, 2, 4, 400, 401}) {
    for (const int64_t plain_rows : {kRows, kRows / 2, int64_t{0}}) {
      Values score = random_values(7, kRows * experts, -800, 16),
             joint = random_values(8, kRows * experts, -700, 5), weight(kRows, 1.0);
      for (int64_t k = 0; k < experts; ++k) {
        for (int64_t r = 0; r < kRows; ++r) {
          double& value = score[static_cast<size_t>(k * kRows + r)];
          if (k + 1 == experts)
            value = 0;
          else if (r % 7 == 0)
            value = r >= plain_rows ? 40 : 16;  // all alike: the sums of 400 are as large as they get
          else if (r % 7 == 1)
            value = -std::numeric_limits<double>::infinity();
        }
      }
      Values wanted_score = score, wanted_joint = joint;
      const double wanted =
          em_ref.posterior(wanted_score.data(), wanted_joint.data(), kRows, experts, weight.data(), kRows);
      const double got =
          em_family()().posterior(score.data(), joint.data(), kRows, experts, weight.data(), kRows);
      ASSERT_TRUE(std::isfinite(got));
      EXPECT_NEAR(got, wanted, 1e-12 * std::abs(wanted)) << experts << " " << plain_rows;
      expect_near(score, wanted_score, "score");
      expect_near(joint, wanted_joint, "joint");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, MixtureLevels, testing::Values("avx2", "avx512"));

// A likelihood computed by hand: two experts with equal scores and densities e^-1 and e^-3.
TEST(MixtureKernel, PosteriorMatchesAHandComputedCase) {
  Values score(16, 0.7), joint(16, -1.0), weight(8, 2.0);
  std::fill(joint.begin() + 8, joint.end(), -3.0);
  const double total = em_ref.posterior(score.data(), joint.data(), 8, 2, weight.data(), 8);
  EXPECT_NEAR(total, 16 * std::log(0.5 * (std::exp(-1) + std::exp(-3))), 1e-12);
  EXPECT_NEAR(score[0], 0.5, 1e-15);
  EXPECT_NEAR(joint[0], 2 / (1 + std::exp(-2)), 1e-14);
}

}  // namespace
