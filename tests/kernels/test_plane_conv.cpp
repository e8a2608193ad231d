#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "gatewright/base/rng.h"
#include "gatewright/kernels/plane_conv/family.h"

namespace {

using gw::kernels::kPlaneLanes;
using gw::kernels::plane_block;
using gw::kernels::plane_conv_family;
using gw::kernels::PlaneConv;
using Floats = std::vector<float>;

constexpr float kGuard = 12345;

/// A 3×3 convolution of stride 1 on planes with a border, and what the definition says in f64.
struct Case {
  int64_t in, out, height, width;
  bool bias, residual, relu;

  int64_t row() const { return width + 2; }
  int64_t plane() const { return row() * (height + 2); }
  int64_t pixels() const { return (height - 1) * row() + width; }
};

Floats random_values(uint64_t seed, int64_t count) {
  const gw::Rng rng(seed);
  Floats values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(rng.uniform(i) * 2 - 1);
  return values;
}

/// Planes with a border of zeros and slack behind them.
Floats planes(const Case& c, uint64_t seed, int64_t channels) {
  auto values = random_values(seed, channels * c.plane());
  for (int64_t i = 0; i < channels * c.plane(); ++i) {
    const int64_t y = i % c.plane() / c.row(), x = i % c.row();
    if (y == 0 || x == 0 || y > c.height || x > c.width) values[static_cast<size_t>(i)] = 0;
  }
  values.resize(values.size() + 32, std::numeric_limits<float>::quiet_NaN());  // may be read, must not matter
  return values;
}

/// [out][in][9] → blocks of output channels, as the kernel reads them.
Floats packed(const Case& c, const Floats& weight) {
  Floats to;
  for (int64_t o = 0; o < c.out;) {
    const int64_t block = plane_block(c.out - o, c.pixels());
    for (int64_t i = 0; i < c.in * 9; ++i) {
      for (int64_t b = 0; b < block; ++b) to.push_back(weight[static_cast<size_t>((o + b) * c.in * 9 + i)]);
    }
    o += block;
  }
  return to;
}

struct Problem {
  explicit Problem(const Case& c)
      : x(planes(c, 1, c.in)),
        weight(random_values(2, c.out * c.in * 9)),
        order(packed(c, weight)),
        bias(random_values(3, c.out)),
        residual(planes(c, 4, c.out)) {
    for (int32_t t = 0; t < 9; ++t) tap.push_back(t / 3 * static_cast<int32_t>(c.row()) + t % 3);
    for (int64_t p = 0; p < c.pixels(); p += kPlaneLanes) {
      uint16_t bits = 0;
      for (int64_t b = 0; b < std::min(kPlaneLanes, c.pixels() - p); ++b)
        bits = static_cast<uint16_t>(bits | ((p + b) % c.row() < c.width ? 1u : 0u) << b);
      lanes.push_back(bits);
    }
  }
  Floats x, weight, order, bias, residual;
  std::vector<int32_t> tap;
  std::vector<uint16_t> lanes;
};

Floats run(const Case& c, const Problem& p, const std::vector<int64_t>& cuts) {
  Floats y(static_cast<size_t>(c.out * c.plane()), kGuard);
  const int64_t inside = c.row() + 1;
  PlaneConv call;
  call.in = p.x.data(), call.in_channels = c.in, call.in_plane = c.plane();
  call.tap = p.tap.data(), call.taps = 9, call.weight = p.order.data();
  call.bias = c.bias ? p.bias.data() : nullptr;
  call.residual = c.residual ? p.residual.data() + inside : nullptr;
  call.out = y.data() + inside, call.out_plane = c.plane(), call.pixels = c.pixels(),
  call.lanes = p.lanes.data();
  call.relu = c.relu;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) plane_conv_family()().convolve(call, cuts[i], cuts[i + 1]);
  return y;
}

double wanted(const Case& c, const Problem& p, int64_t o, int64_t y, int64_t x) {
  double sum = c.bias ? p.bias[static_cast<size_t>(o)] : 0;
  for (int64_t i = 0; i < c.in; ++i) {
    for (int64_t t = 0; t < 9; ++t) {
      const int64_t from = i * c.plane() + (y + t / 3) * c.row() + x + t % 3;
      sum += double{p.weight[static_cast<size_t>((o * c.in + i) * 9 + t)]} *
             double{p.x[static_cast<size_t>(from)]};
    }
  }
  if (c.residual) sum += p.residual[static_cast<size_t>(o * c.plane() + (y + 1) * c.row() + x + 1)];
  return c.relu ? std::max(sum, 0.0) : sum;
}

void expect_right(const Case& c) {
  const Problem p(c);
  const auto got = run(c, p, {0, c.out});
  for (int64_t i = 0; i < c.out * c.plane(); ++i) {
    const int64_t o = i / c.plane(), y = i % c.plane() / c.row() - 1, x = i % c.row() - 1;
    const bool inside = y >= 0 && x >= 0 && y < c.height && x < c.width;
    const float value = got[static_cast<size_t>(i)];
    if (!inside)
      ASSERT_EQ(value, kGuard) << "border written at " << o << ", " << y << ", " << x;
    else
      ASSERT_NEAR(value, wanted(c, p, o, y, x), 1e-4) << "channel " << o << ", row " << y << ", column " << x;
  }
}

struct ForEveryPlaneLevel : testing::TestWithParam<std::string> {
  void SetUp() override {
    for (const auto& level : plane_conv_family().levels()) {
      if (level.name == GetParam() && !level.available) GTEST_SKIP() << level.reason;
    }
    plane_conv_family().force(GetParam());
  }
  void TearDown() override { plane_conv_family().force(""); }
};

TEST_P(ForEveryPlaneLevel, ConvolvesAnySize) {
  for (const int64_t out : {1, 2, 3, 5, 8, 12, 17}) {
    for (const auto& [height, width] :
         {std::pair<int64_t, int64_t>{1, 1}, {3, 3}, {4, 5}, {7, 7}, {14, 14}, {28, 27}}) {
      SCOPED_TRACE(std::to_string(out) + " channels of " + std::to_string(height) + "x" +
                   std::to_string(width));
      expect_right({3, out, height, width, true, false, true});
    }
  }
}

TEST_P(ForEveryPlaneLevel, BiasResidualAndReluAreEachOptional) {
  for (int bits = 0; bits < 8; ++bits)
    expect_right({2, 9, 7, 7, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0});
}

TEST_P(ForEveryPlaneLevel, ChannelsInPiecesGiveTheSameBits) {
  for (const int64_t side : {3, 14}) {
    const Case c{5, 21, side, side, true, true, true};
    const Problem p(c);
    ASSERT_EQ(run(c, p, {0, 21}), run(c, p, {0, 8, 16, 21})) << side;
  }
}

TEST_P(ForEveryPlaneLevel, NanPassesTheReluAndWinsThePool) {
  const Case c{1, 1, 4, 4, false, false, true};
  Problem p(c);
  p.x[static_cast<size_t>(c.row() + 1)] = std::numeric_limits<float>::quiet_NaN();
  ASSERT_TRUE(std::isnan(run(c, p, {0, 1})[static_cast<size_t>(c.row() + 1)]));
  for (int at = 0; at < 4; ++at) {
    Floats window(40, 0.0f), out(1);
    std::iota(window.begin(), window.begin() + 4, 1.0f);
    window[static_cast<size_t>(at)] = std::numeric_limits<float>::quiet_NaN();
    plane_conv_family()().max_pool2(window.data(), 2, out.data(), 1, 1, 1);
    ASSERT_TRUE(std::isnan(out[0])) << at;
  }
}

TEST_P(ForEveryPlaneLevel, PoolsSplitsAndMultiplies) {
  for (int64_t width = 1; width < 40; ++width) {
    const auto in = random_values(5, 6 * (2 * width + 3) + 32);
    Floats out(static_cast<size_t>(3 * (width + 1)), kGuard);
    plane_conv_family()().max_pool2(in.data(), 2 * width + 3, out.data(), width + 1, 3, width);
    for (int64_t i = 0; i < 3 * (width + 1); ++i) {
      const int64_t y = i / (width + 1), x = i % (width + 1);
      const float* w = in.data() + 2 * y * (2 * width + 3) + 2 * x;
      const float most = x < width ? std::max({w[0], w[1], w[2 * width + 3], w[2 * width + 4]}) : kGuard;
      ASSERT_EQ(out[static_cast<size_t>(i)], most) << width << " at " << y << ", " << x;
    }
    Floats even(static_cast<size_t>(width) + 1, kGuard), odd = even;
    plane_conv_family()().split2(in.data(), width, even.data(), odd.data());
    for (int64_t i = 0; i < width; ++i) {
      ASSERT_EQ(even[static_cast<size_t>(i)], in[static_cast<size_t>(2 * i)]) << width << " at " << i;
      ASSERT_EQ(odd[static_cast<size_t>(i)], in[static_cast<size_t>(2 * i + 1)]) << width << " at " << i;
    }
    ASSERT_TRUE(even.back() == kGuard && odd.back() == kGuard) << width;
    const auto weight = random_values(6, 7 * width), bias = random_values(7, width);
    Floats y(static_cast<size_t>(width), kGuard);
    plane_conv_family()().linear(in.data(), 7, weight.data(), bias.data(), width, y.data());
    for (int64_t o = 0; o < width; ++o) {
      double sum = bias[static_cast<size_t>(o)];
      for (int64_t i = 0; i < 7; ++i)
        sum += double{in[static_cast<size_t>(i)]} * weight[static_cast<size_t>(i * width + o)];
      ASSERT_NEAR(y[static_cast<size_t>(o)], sum, 1e-5) << width << " at " << o;
    }
  }
}

// Beyond whole blocks of values, and none.
TEST_P(ForEveryPlaneLevel, MergesKernelsForEachImage) {
  constexpr int64_t kImages = 3, kExperts = 4;
  for (const int64_t values : {0, 1, 63, 64, 65, 200}) {
    const auto share = random_values(1, kImages * 7), kernel = random_values(2, kExperts * values + 1);
    Floats to(static_cast<size_t>(kImages * (values + 1)), kGuard);
    plane_conv_family()().merge(
        {share.data(), 7, kImages, kExperts, kernel.data(), values, to.data(), values + 1});
    for (int64_t i = 0; i < kImages; ++i) {
      for (int64_t p = 0; p < values; ++p) {
        double sum = 0;
        for (int64_t e = 0; e < kExperts; ++e)
          sum += double{share[static_cast<size_t>(i * 7 + e)]} * kernel[static_cast<size_t>(e * values + p)];
        ASSERT_NEAR(to[static_cast<size_t>(i * (values + 1) + p)], sum, 1e-5) << values << " at " << p;
      }
      EXPECT_EQ(to[static_cast<size_t>(i * (values + 1) + values)], kGuard);
    }
  }
}

TEST_P(ForEveryPlaneLevel, TotalsHaveTheSameBitsAtEveryLevel) {
  for (const int64_t count : {0, 1, 31, 32, 33, 300}) {
    const auto x = random_values(3, count + 1);
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += double{x[static_cast<size_t>(i)]};
    const float got = plane_conv_family()().total(x.data(), count);
    EXPECT_NEAR(got, sum, 1e-4) << count;
    EXPECT_EQ(got, gw::kernels::plane_conv_ref.total(x.data(), count)) << count;
  }
}

/// Gradients of a case's weights, of a map with guards where nothing may be used.
void expect_right_gradient(const Case& c) {
  const Problem p(c);
  auto g = planes(c, 8, c.out);
  for (int64_t i = 0; i < c.out * c.plane(); ++i) {
    const int64_t y = i % c.plane() / c.row(), x = i % c.row();
    if (y == 0 || x == 0 || y > c.height || x > c.width)
      g[static_cast<size_t>(i)] = std::numeric_limits<float>::quiet_NaN();
  }
  // Lanes that claim more than there are pixels, as those of a group of images do for its first ones.
  auto lanes = p.lanes;
  if (c.pixels() % kPlaneLanes != 0)
    lanes.back() = static_cast<uint16_t>(lanes.back() | 0xffff << c.pixels() % kPlaneLanes);
  Floats got(static_cast<size_t>(c.out * c.in * 9) + 1, kGuard);
  gw::kernels::PlaneGradient call;
  call.in = p.x.data(), call.in_channels = c.in, call.in_plane = c.plane();
  call.tap = p.tap.data(), call.taps = 9, call.gradient = g.data() + c.row() + 1;
  call.out_channels = c.out, call.out_plane = c.plane(), call.pixels = c.pixels();
  call.lanes = lanes.data(), call.weight = got.data();
  plane_conv_family()().weight_gradient(call);
  ASSERT_EQ(got.back(), kGuard);
  for (int64_t i = 0; i < c.out * c.in * 9; ++i) {
    const int64_t o = i / (c.in * 9), channel = i / 9 % c.in, t = i % 9;
    double sum = 0;
    for (int64_t q = 0; q < c.height * c.width; ++q) {
      const int64_t y = q / c.width, x = q % c.width;
      sum += double{g[static_cast<size_t>(o * c.plane() + (y + 1) * c.row() + x + 1)]} *
             double{p.x[static_cast<size_t>(channel * c.plane() + (y + t / 3) * c.row() + x + t % 3)]};
    }
    ASSERT_NEAR(got[static_cast<size_t>(i)], sum, 1e-4) << "weight " << i;
  }
}

TEST_P(ForEveryPlaneLevel, GradientsOfWeightsOfAnySize) {
  for (const int64_t out : {1, 2, 3, 5, 8, 13}) {
    for (const int64_t in : {1, 2, 3, 4}) {
      for (const auto& [height, width] : {std::pair<int64_t, int64_t>{1, 1}, {3, 3}, {7, 6}, {14, 15}}) {
        SCOPED_TRACE(std::to_string(in) + " -> " + std::to_string(out) + " channels of " +
                     std::to_string(height) + "x" + std::to_string(width));
        expect_right_gradient({in, out, height, width, false, false, false});
      }
    }
  }
}

TEST_P(ForEveryPlaneLevel, CopiesRowsAndGates) {
  for (int64_t width = 1; width < 40; ++width) {
    const auto from = random_values(9, 2 * width + 3), gate = random_values(10, 2 * width + 3);
    for (const bool gated : {false, true}) {
      Floats to(static_cast<size_t>(3 * (width + 2)), kGuard);
      plane_conv_family()().copy_rows(
          {from.data(), width + 3, gated ? gate.data() : nullptr, to.data(), width + 2, 2, width});
      for (int64_t i = 0; i < 3 * (width + 2); ++i) {
        const int64_t y = i / (width + 2), x = i % (width + 2);
        const auto at = static_cast<size_t>(y * (width + 3) + x);
        const bool inside = y < 2 && x < width;
        const float want = !inside ? kGuard : gated && gate[at] <= 0 ? 0 : from[at];
        ASSERT_EQ(to[static_cast<size_t>(i)], want) << width << " at " << y << ", " << x;
      }
    }
  }
}

TEST_P(ForEveryPlaneLevel, ThePoolsGradientGoesToTheFirstLargest) {
  for (int64_t width = 1; width < 40; ++width) {
    auto in = random_values(11, 4 * (2 * width + 1));
    for (auto& v : in) v = std::round(2 * v);  // many ties
    const auto dy = random_values(12, 2 * width);
    Floats dx(in.size(), kGuard);
    plane_conv_family()().max_pool2_gradient(in.data(), 2 * width + 1, dy.data(), width, dx.data(), 2, width);
    for (int64_t i = 0; i < 2 * width; ++i) {
      const int64_t at = 2 * (i / width) * (2 * width + 1) + 2 * (i % width);
      const std::vector<int64_t> place{at, at + 1, at + 2 * width + 1, at + 2 * width + 2};
      const auto first = std::max_element(place.begin(), place.end(), [&](int64_t a, int64_t b) {
        return in[static_cast<size_t>(a)] < in[static_cast<size_t>(b)];
      });
      for (auto k = place.begin(); k != place.end(); ++k)
        ASSERT_EQ(dx[static_cast<size_t>(*k)], k == first ? dy[static_cast<size_t>(i)] : 0)
            << width << ", " << i;
    }
    for (int64_t y = 0; y < 4; ++y)
      ASSERT_EQ(dx[static_cast<size_t>(y * (2 * width + 1) + 2 * width)], kGuard);
  }
  const float nan = std::nanf(""), in[4] = {nan, 1, 2, 3}, dy[1] = {5};
  float dx[4];
  plane_conv_family()().max_pool2_gradient(in, 2, dy, 1, dx, 1, 1);
  EXPECT_EQ(dx[0], 5);
}

INSTANTIATE_TEST_SUITE_P(PlaneConv, ForEveryPlaneLevel, testing::Values("ref", "avx2", "avx512"),
                         [](const auto& level) { return level.param; });

}  // namespace
