#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/base/rng.h"
#include "gatewright/kernels/bucket_norm/family.h"

namespace {

using gw::kernels::bucket_norm_family;
using gw::kernels::bucket_norm_mask_bytes;
using gw::kernels::bucket_norm_ref;
using Floats = std::vector<float>;

Floats random_values(uint64_t seed, int64_t count, float mean = 0) {
  const gw::Rng rng(seed);
  Floats values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = mean + static_cast<float>(rng.uniform(i) * 2 - 1);
  return values;
}

/// What every function of a level gives for one size; the guard values behind the arrays must survive.
struct Answer {
  Floats shift, sum, square, y, y_plain, sum_g, product, dx, dx_fixed, dresidual;
  std::vector<uint8_t> mask;
};

constexpr float kGuard = 12345;

Floats guarded(int64_t count) {
  Floats values(static_cast<size_t>(count) + 64, 0.0f);
  std::fill(values.begin() + count, values.end(), kGuard);
  return values;
}

/// `planes`: c planes of `rows` values.
Answer run(const gw::kernels::BucketNormTable<float>& table, int64_t rows, int64_t c, bool planes = false) {
  const auto n = rows * c;
  const auto x = random_values(1, n, 3), residual = random_values(2, n), g = random_values(3, n);
  const auto mean = random_values(4, c, 3), scale = random_values(5, c, 1), bias = random_values(6, c),
             b = random_values(7, c), k = random_values(8, c);
  Answer a{guarded(c), guarded(c), guarded(c), guarded(n), guarded(n), guarded(c),
           guarded(c), guarded(n), guarded(n), guarded(n), {}};
  const int64_t mask_bytes = planes ? c * bucket_norm_mask_bytes(rows) : rows * bucket_norm_mask_bytes(c);
  a.mask.assign(static_cast<size_t>(mask_bytes) + 16, 0xaa);
  if (rows > 0) table.origin(x.data(), rows, c, a.shift.data());
  table.accumulate(x.data(), rows, c, mean.data(), a.sum.data(), a.square.data());
  table.apply(x.data(), residual.data(), rows, c, mean.data(), scale.data(), bias.data(), true, a.y.data(),
              a.mask.data());
  table.apply(x.data(), nullptr, rows, c, mean.data(), scale.data(), bias.data(), false, a.y_plain.data(),
              nullptr);
  table.reduce_gradient(g.data(), x.data(), a.mask.data(), rows, c, mean.data(), a.sum_g.data(),
                        a.product.data());
  table.reduce_gradient(g.data(), x.data(), nullptr, rows, c, mean.data(), a.sum_g.data(), a.product.data());
  table.input_gradient(g.data(), x.data(), a.mask.data(), rows, c, mean.data(), scale.data(), b.data(),
                       k.data(), a.dx.data(), a.dresidual.data());
  table.input_gradient(g.data(), nullptr, nullptr, rows, c, mean.data(), scale.data(), b.data(), k.data(),
                       a.dx_fixed.data(), nullptr);
  return a;
}

void expect_near(const Floats& got, const Floats& want, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], 2e-5 * (1 + std::abs(want[i]))) << what << " at " << i;
}

struct ForEveryLevel : testing::TestWithParam<std::string> {
  void SetUp() override {
    for (const auto& level : bucket_norm_family().levels()) {
      if (level.name == GetParam() && !level.available) GTEST_SKIP() << level.reason;
    }
    bucket_norm_family().force(GetParam());
  }
  void TearDown() override { bucket_norm_family().force(""); }
};

void expect_same(const Answer& got, const Answer& want) {
  expect_near(got.shift, want.shift, "shift");
  expect_near(got.sum, want.sum, "sum"), expect_near(got.square, want.square, "square");
  expect_near(got.y, want.y, "y"), expect_near(got.y_plain, want.y_plain, "y_plain");
  expect_near(got.sum_g, want.sum_g, "sum_g"), expect_near(got.product, want.product, "product");
  expect_near(got.dx, want.dx, "dx"), expect_near(got.dx_fixed, want.dx_fixed, "dx_fixed");
  expect_near(got.dresidual, want.dresidual, "dresidual");
  ASSERT_EQ(got.mask, want.mask);
}

TEST_P(ForEveryLevel, AgreesWithRef) {
  for (int64_t c = 1; c <= 70; ++c) {
    for (const int64_t rows : {0, 1, 7, 8, 19}) {
      SCOPED_TRACE("C = " + std::to_string(c) + ", rows = " + std::to_string(rows));
      expect_same(run(bucket_norm_family()(), rows, c), run(bucket_norm_ref, rows, c));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(ForEveryLevel, PlanesAgreeWithRef) {
  for (int64_t rows = 0; rows <= 150; ++rows) {
    for (const int64_t c : {1, 3, 5}) {
      SCOPED_TRACE("C = " + std::to_string(c) + ", rows = " + std::to_string(rows));
      expect_same(run(*bucket_norm_family()().planes, rows, c, true),
                  run(*bucket_norm_ref.planes, rows, c, true));
      if (HasFatalFailure()) return;
    }
  }
}

/// Rows transposed are planes: what is wrong in both levels of planes would show here.
TEST_P(ForEveryLevel, PlanesAreRowsTransposed) {
  const int64_t rows = 45, c = 3;
  const auto x = random_values(1, rows * c, 3), g = random_values(3, rows * c), mean = random_values(4, c, 3);
  const auto transposed = [&](const Floats& v) {
    Floats to(v.size());
    for (size_t i = 0; i < v.size(); ++i) to[i % 3 * 45 + i / 3] = v[i];
    return to;
  };
  const auto xt = transposed(x), gt = transposed(g);
  const auto& table = bucket_norm_family()();
  Floats y(x.size()), yt(x.size()), dx(x.size()), dxt(x.size()), sums[2][4];
  std::vector<uint8_t> mask(45), mask_t(3 * 6);
  for (auto& of_layout : sums) {
    for (auto& sum : of_layout) sum.assign(3, 0);
  }
  const auto all = [&](const auto& t, const Floats& in, const Floats& up, Floats& out, Floats& d,
                       uint8_t* bits, Floats* s) {
    t.accumulate(in.data(), rows, c, mean.data(), s[0].data(), s[1].data());
    t.apply(in.data(), nullptr, rows, c, mean.data(), mean.data(), mean.data(), true, out.data(), bits);
    t.reduce_gradient(up.data(), in.data(), bits, rows, c, mean.data(), s[2].data(), s[3].data());
    t.input_gradient(up.data(), in.data(), bits, rows, c, mean.data(), mean.data(), mean.data(), mean.data(),
                     d.data(), nullptr);
  };
  all(table, x, g, y, dx, mask.data(), sums[0]), all(*table.planes, xt, gt, yt, dxt, mask_t.data(), sums[1]);
  EXPECT_EQ(transposed(y), yt);
  EXPECT_EQ(transposed(dx), dxt);
  for (int i = 0; i < 4; ++i) expect_near(sums[1][i], sums[0][i], "sums");
}

TEST_P(ForEveryLevel, CutAnywhereGivesTheSameBits) {
  const auto& table = bucket_norm_family()();
  const int64_t rows = 21, c = 37;
  const auto x = random_values(1, rows * c), shift = random_values(2, c), g = random_values(3, rows * c);
  Floats sum(37, 0), square(37, 0), products(37, 0);
  table.accumulate(x.data(), rows, c, shift.data(), sum.data(), square.data());
  Floats g_sum(37, 0);
  table.reduce_gradient(g.data(), x.data(), nullptr, rows, c, shift.data(), g_sum.data(), products.data());
  for (int64_t cut = 0; cut <= rows; ++cut) {
    Floats s(37, 0), q(37, 0), gs(37, 0), p(37, 0);
    table.accumulate(x.data(), cut, c, shift.data(), s.data(), q.data());
    table.accumulate(x.data() + cut * c, rows - cut, c, shift.data(), s.data(), q.data());
    table.reduce_gradient(g.data(), x.data(), nullptr, cut, c, shift.data(), gs.data(), p.data());
    table.reduce_gradient(g.data() + cut * c, x.data() + cut * c, nullptr, rows - cut, c, shift.data(),
                          gs.data(), p.data());
    EXPECT_EQ(s, sum);
    EXPECT_EQ(q, square);
    EXPECT_EQ(gs, g_sum);
    EXPECT_EQ(p, products);
  }
}

TEST_P(ForEveryLevel, NanPassesTheReluAndZeroDoesNot) {
  const float x[3] = {std::nanf(""), 0, 2}, zero[3] = {}, one[3] = {1, 1, 1};
  float y[3];
  uint8_t mask = 0xff;
  bucket_norm_family()().apply(x, nullptr, 1, 3, zero, one, zero, true, y, &mask);
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_EQ(y[1], 0);
  EXPECT_EQ(y[2], 2);
  EXPECT_EQ(mask, 0b101);
}

INSTANTIATE_TEST_SUITE_P(BucketNorm, ForEveryLevel, testing::Values("ref", "avx2", "avx512"),
                         [](const auto& level) { return level.param; });

TEST(BucketNormFamily, ForcingChoosesTheTable) {
  auto& family = bucket_norm_family();
  std::vector<const void*> tables;
  for (const auto& level : family.levels()) {
    if (!level.available) {
      EXPECT_THROW(family.force(level.name), gw::ValueError);
      continue;
    }
    gw::force_kernels("bucket_norm=" + level.name);
    EXPECT_EQ(family.levels()[static_cast<size_t>(family.chosen())].name, level.name);
    for (const void* other : tables) EXPECT_NE(other, &family());
    tables.push_back(&family());
  }
  EXPECT_EQ(tables.front(), static_cast<const void*>(&bucket_norm_ref));
  family.force("");
  EXPECT_EQ(tables.back(), static_cast<const void*>(&family())) << "the best level is the default";
  EXPECT_THROW(family.force("avx1024"), gw::ValueError);
}

}  // namespace
