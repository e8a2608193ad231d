#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gatewright/base/rng.h"
#include "gatewright/kernels/plan/plan.h"
#include "gatewright/kernels/top_k/family.h"

namespace {

using namespace gw::kernels;

struct TopKLevel : testing::TestWithParam<std::string> {
  void SetUp() override {
    for (const auto& level : top_k_family().levels()) {
      if (level.name == GetParam() && !level.available) GTEST_SKIP() << level.reason;
    }
    top_k_family().force(GetParam());
  }
  void TearDown() override { top_k_family().force(""); }
};

std::vector<float> scores(int64_t count, int64_t distinct) {
  std::vector<float> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<float>(std::floor(gw::Rng(3).uniform(i) * static_cast<double>(distinct))) / 7 - 3;
  return out;
}

// Many ties: five distinct values.
TEST_P(TopKLevel, AgreesWithTheReference) {
  for (const int64_t experts : {1, 2, 15, 16, 17, 64, 100, 1030}) {
    for (const int64_t k : {int64_t{1}, int64_t{2}, std::min<int64_t>(experts, 8), experts}) {
      if (k > experts || (experts > 100 && k > 8)) continue;
      for (const auto f : {Score::identity, Score::softmax, Score::sigmoid}) {
        const int64_t rows = 9;
        auto s = scores(rows * experts, experts == 64 ? 5 : 100000);
        if (experts > 1) s[1] = -std::numeric_limits<float>::infinity();
        std::vector<int64_t> e(static_cast<size_t>(rows * k)), want_e = e;
        std::vector<float> w(e.size()), want_w = w;
        EXPECT_EQ(
            top_k_family()().run(s.data(), rows, experts, k, f, f != Score::identity, e.data(), w.data()),
            -1);
        EXPECT_EQ(
            top_k_ref.run(s.data(), rows, experts, k, f, f != Score::identity, want_e.data(), want_w.data()),
            -1);
        ASSERT_EQ(e, want_e) << experts << " experts, k " << k;
        for (size_t i = 0; i < w.size(); ++i) {
          if (w[i] == want_w[i]) continue;  // equal infinities have no difference
          ASSERT_NEAR(w[i], want_w[i], 2e-6 * (1 + std::abs(want_w[i])));
        }
      }
    }
  }
}

TEST_P(TopKLevel, NamesTheRowWithNan) {
  auto s = scores(5 * 20, 1000);
  s[3 * 20 + 19] = std::nanf("");
  std::vector<int64_t> e(10);
  std::vector<float> w(10);
  EXPECT_EQ(top_k_family()().run(s.data(), 5, 20, 2, Score::softmax, false, e.data(), w.data()), 3);
}

TEST_P(TopKLevel, AllMaskedTakesTheLowestIndices) {
  const std::vector<float> s(6, -std::numeric_limits<float>::infinity());
  std::vector<int64_t> e(3);
  std::vector<float> w(3);
  top_k_family()().run(s.data(), 1, 6, 3, Score::identity, false, e.data(), w.data());
  EXPECT_EQ(e, (std::vector<int64_t>{0, 1, 2}));
}

// No mass is no weight, whoever computes it; a masked row beside others changes nothing of theirs.
TEST_P(TopKLevel, AllMaskedHasNoWeight) {
  for (const auto f : {Score::softmax, Score::sigmoid}) {
    for (const bool renormalise : {false, true}) {
      auto s = scores(3 * 20, 1000);
      std::fill(s.begin() + 20, s.begin() + 40, -std::numeric_limits<float>::infinity());
      std::vector<int64_t> e(12), want_e = e;
      std::vector<float> w(12, 7), want_w = w;
      EXPECT_EQ(top_k_family()().run(s.data(), 3, 20, 4, f, renormalise, e.data(), w.data()), -1);
      EXPECT_EQ(top_k_ref.run(s.data(), 3, 20, 4, f, renormalise, want_e.data(), want_w.data()), -1);
      EXPECT_EQ(e, want_e);
      for (size_t i = 0; i < w.size(); ++i) {
        ASSERT_NEAR(w[i], want_w[i], 2e-6);
        EXPECT_EQ(w[i] == 0, i / 4 == 1) << i;
      }
    }
  }
}

std::string level_of(const testing::TestParamInfo<std::string>& level) { return level.param; }
INSTANTIATE_TEST_SUITE_P(TopK, TopKLevel, testing::Values("ref", "avx2", "avx512"), level_of);
#if defined(__aarch64__)
INSTANTIATE_TEST_SUITE_P(TopKArm, TopKLevel, testing::Values("neon"), level_of);
#endif

/// Runs tasks backwards on three workers: order must not matter.
class BackwardTeam : public ThreadPool {
 public:
  int workers() const override { return 3; }
  void run(int64_t tasks, const std::function<void(int64_t, int)>& task) override {
    for (int64_t i = tasks; i-- > 0;) task(i, static_cast<int>(i % 3));
  }
};

TEST(Plan, ParallelEqualsReference) {
  BackwardTeam pool;
  for (const int64_t tokens : {0, 1, 5000, 12289}) {
    const int64_t k = 3, experts = 37;
    std::vector<int64_t> ids(static_cast<size_t>(tokens * k)), offsets(38), slots(ids.size()),
        want_offsets(38), want(ids.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      ids[i] = static_cast<int64_t>(gw::Rng(1).uniform(i / 3) * 12) * 3 +
               static_cast<int64_t>(i % 3);  // distinct within a token
      if (gw::Rng(2).uniform(i) < 0.1) ids[i] = -1;
    }
    EXPECT_EQ(sort_slots(ids.data(), tokens, k, experts, offsets.data(), slots.data(), pool).slot, -1);
    EXPECT_EQ(sort_slots_ref(ids.data(), tokens, k, experts, want_offsets.data(), want.data()).slot, -1);
    EXPECT_EQ(offsets, want_offsets);
    slots.resize(static_cast<size_t>(offsets.back())), want.resize(slots.size());
    EXPECT_EQ(slots, want);
    for (size_t i = 1; i < slots.size(); ++i) {
      const auto a = ids[static_cast<size_t>(slots[i - 1])], b = ids[static_cast<size_t>(slots[i])];
      ASSERT_TRUE(a < b || (a == b && slots[i - 1] < slots[i]));
    }
  }
}

TEST(Plan, FaultsAreFoundWhereTheyAre) {
  BackwardTeam pool;
  std::vector<int64_t> ids(20000, -1), offsets(5), slots(ids.size());
  ids[15001] = 4;
  EXPECT_EQ(sort_slots(ids.data(), 10000, 2, 4, offsets.data(), slots.data(), pool).slot, 15001);
  ids[15001] = 2, ids[15000] = 2;
  const auto fault = sort_slots(ids.data(), 10000, 2, 4, offsets.data(), slots.data(), pool);
  EXPECT_EQ(fault.slot, 15001);
  EXPECT_TRUE(fault.twice);
  ids[7] = -2;
  EXPECT_EQ(sort_slots(ids.data(), 10000, 2, 4, offsets.data(), slots.data(), pool).slot, 7);
}

}  // namespace
