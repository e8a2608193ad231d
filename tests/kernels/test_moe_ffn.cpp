#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <thread>

#include "gatewright/base/error.h"
#include "gatewright/kernels/moe_ffn/family.h"
#include "tests/support/ffn_case.h"

namespace {

using namespace gw::test;

/// Real threads, without libtorch and OpenMP: what the thread sanitizer understands.
class StdPool : public ThreadPool {
 public:
  explicit StdPool(int workers) : workers_(workers) {}
  int workers() const override { return workers_; }
  void run(int64_t tasks, const std::function<void(int64_t, int)>& task) override {
    std::atomic<int64_t> next{0};
    std::vector<std::thread> threads;
    for (int w = 0; w < workers_; ++w) {
      threads.emplace_back([&, w] {
        for (int64_t i = next++; i < tasks; i = next++) task(i, w);
      });
    }
    for (auto& thread : threads) thread.join();
  }

 private:
  int workers_;
};

std::string name_of(const testing::TestParamInfo<std::string>& level) { return level.param; }

template <class Family>
bool unavailable(Family& family, const std::string& name) {
  for (const auto& level : family.levels()) {
    if (level.name == name) return !level.available;
  }
  return true;
}

// Written out by plain loops in f64, one row at a time, with a derivative by its formula: knows nothing of
// panels.
double silu(double v) { return v / (1 + std::exp(-v)); }
double silu_slope(double v) { return (1 + std::exp(-v) * (1 + v)) / std::pow(1 + std::exp(-v), 2); }

TEST(MoeFfnReference, EqualsTheFormulaWrittenOut) {
  const Case<double> c({3, 7, 5, 6, 9, 2, true, true});
  const auto& s = c.s;
  SerialPool pool;
  const auto got = run(moe_ffn_ref_f64, c, pool);
  std::vector<double> y(static_cast<size_t>(s.tokens * s.out)), dx(static_cast<size_t>(s.tokens * s.in)),
      dw(c.token.size()), dgate(c.gate.size());
  for (int64_t e = 0; e < s.experts; ++e) {
    for (int64_t r = c.offsets[static_cast<size_t>(e)]; r < c.offsets[static_cast<size_t>(e) + 1]; ++r) {
      const auto row = static_cast<size_t>(r);
      const int64_t t = c.token[row];
      for (int64_t h = 0; h < s.hidden; ++h) {
        const auto at = [&](const std::vector<double>& w, int64_t d) {
          return w[static_cast<size_t>((e * s.hidden + h) * s.in + d)];
        };
        double g = c.gate_bias[static_cast<size_t>(e * s.hidden + h)],
               u = c.up_bias[static_cast<size_t>(e * s.hidden + h)], dh = 0;
        for (int64_t d = 0; d < s.in; ++d)
          g += at(c.gate, d) * c.x[static_cast<size_t>(t * s.in + d)],
              u += at(c.up, d) * c.x[static_cast<size_t>(t * s.in + d)];
        for (int64_t o = 0; o < s.out; ++o) {
          const double w = c.down[static_cast<size_t>((e * s.out + o) * s.hidden + h)];
          y[static_cast<size_t>(t * s.out + o)] += c.weight[row] * silu(g) * u * w;
          dh += c.dy[static_cast<size_t>(t * s.out + o)] * w;
        }
        dw[row] += dh * silu(g) * u;
        const double dg = c.weight[row] * dh * u * silu_slope(g), du = c.weight[row] * dh * silu(g);
        for (int64_t d = 0; d < s.in; ++d) {
          dx[static_cast<size_t>(t * s.in + d)] += dg * at(c.gate, d) + du * at(c.up, d);
          dgate[static_cast<size_t>((e * s.hidden + h) * s.in + d)] +=
              dg * c.x[static_cast<size_t>(t * s.in + d)];
        }
      }
      for (int64_t o = 0; o < s.out; ++o) {
        const double b = c.down_bias[static_cast<size_t>(e * s.out + o)];
        y[static_cast<size_t>(t * s.out + o)] += c.weight[row] * b;
        dw[row] += c.dy[static_cast<size_t>(t * s.out + o)] * b;
      }
    }
  }
  expect_close({got[0], got[1], got[2], got[3]}, {{"y", y}, {"dx", dx}, {"dweight", dw}, {"dgate", dgate}},
               1e-13);
}

struct Float : testing::TestWithParam<std::string> {
  void SetUp() override {
    if (unavailable(moe_ffn_family(), GetParam())) GTEST_SKIP() << "this processor cannot run it";
    moe_ffn_family().force(GetParam());
  }
  void TearDown() override { moe_ffn_family().force(""); }
};
struct Half : testing::TestWithParam<std::string> {
  void SetUp() override {
    if (unavailable(moe_ffn_bf16_family(), GetParam())) GTEST_SKIP() << "this processor cannot run it";
    moe_ffn_bf16_family().force(GetParam());
  }
  void TearDown() override { moe_ffn_bf16_family().force(""); }
};

// f32 sums of up to 1100 products: 2e-6 of the largest value. bf16 rounds h, dgate and dup to 8 bits: 2 %.
TEST_P(Float, AgreesWithDoublePrecision) {
  SerialPool pool;
  for (const auto& shape : kShapes)
    expect_close(run(moe_ffn_family()(), Case<float>(shape), pool),
                 run(moe_ffn_ref_f64, Case<double>(shape), pool), 3e-6);
}
TEST_P(Half, AgreesWithDoublePrecision) {
  SerialPool pool;
  for (const auto& shape : kShapes)
    expect_close(run(moe_ffn_bf16_family()(), Case<Bf16>(shape), pool),
                 run(moe_ffn_ref_f64, Case<double>(shape), pool), 0.02);
}

TEST_P(Float, EveryActivationAgreesWithDoublePrecision) {
  SerialPool pool;
  for (int a = 0; a <= static_cast<int>(Activation::gelu_tanh); ++a) {
    for (const int form : {0, 1, 2}) {  // plain, gated, gated with bounds
      const Shape shape{
          2, 24, 40, 24, 30, 1, form > 0, true, static_cast<Activation>(a), {form == 2, 0.5, 1}};
      SCOPED_TRACE(a);
      expect_close(run(moe_ffn_family()(), Case<float>(shape), pool),
                   run(moe_ffn_ref_f64, Case<double>(shape), pool), 3e-6);
    }
  }
}

// A gate product that rounding takes over its bound has no derivative there: single terms of sums over 15
// rows may be missing.
TEST_P(Half, BoundsAgreeWithDoublePrecision) {
  SerialPool pool;
  const Shape shape{2, 24, 40, 24, 30, 1, true, true, Activation::quick_gelu, {true, 0.5, 1}};
  expect_close(run(moe_ffn_bf16_family()(), Case<Bf16>(shape), pool),
               run(moe_ffn_ref_f64, Case<double>(shape), pool), 0.1);
}

TEST_P(Float, ThreadsAndPackedWeightsGiveTheSameBits) {
  SerialPool one;
  StdPool three(3);
  for (const auto& shape : kShapes) {
    const Case<float> c(shape);
    const auto want = run(moe_ffn_family()(), c, one);
    EXPECT_EQ(run(moe_ffn_family()(), c, three), want);
    EXPECT_EQ(run(moe_ffn_family()(), c, three, true), want);
  }
}
TEST_P(Half, ThreadsAndPackedWeightsGiveTheSameBits) {
  SerialPool one;
  StdPool three(3);
  for (const auto& shape : kShapes) {
    const Case<Bf16> c(shape);
    const auto want = run(moe_ffn_bf16_family()(), c, one);
    EXPECT_EQ(run(moe_ffn_bf16_family()(), c, three), want);
    EXPECT_EQ(run(moe_ffn_bf16_family()(), c, three, true), want);
  }
}

TEST_P(Float, SaturatesAndPassesNan) {
  const auto& rows = *moe_ffn_family()().rows;
  const float in[5] = {-1e30f, -100.f, 0.f, 1e30f, std::nanf("")}, one[5] = {1, 1, 1, 1, 1};
  float h[5];
  rows.activate(Activation::silu, {}, in, one, 5, h, nullptr, nullptr);
  EXPECT_NEAR(h[0], 0, 1e-6);
  EXPECT_NEAR(h[1], 0, 1e-6);
  EXPECT_EQ(h[2], 0);
  EXPECT_EQ(h[3], 1e30f);
  EXPECT_TRUE(std::isnan(h[4]));
  rows.activate(Activation::relu, {}, in, one, 5, h, nullptr, nullptr);
  EXPECT_EQ(h[0], 0);
  EXPECT_EQ(h[3], 1e30f);
  EXPECT_TRUE(std::isnan(h[4]));
}

INSTANTIATE_TEST_SUITE_P(MoeFfn, Float, testing::Values("ref", "avx2", "avx512"), name_of);
INSTANTIATE_TEST_SUITE_P(MoeFfn, Half, testing::Values("ref", "avx2", "avx512", "avx512_bf16", "amx"),
                         name_of);
#if defined(__aarch64__)
INSTANTIATE_TEST_SUITE_P(MoeFfnArm, Float, testing::Values("neon"), name_of);
INSTANTIATE_TEST_SUITE_P(MoeFfnArm, Half, testing::Values("neon", "neon_bf16"), name_of);
#endif

// Products are summed by fused multiply-add in the order of k at every level, so whole f32 products have
// equal bits at all of them.
TEST(MoeFfn, ProductsHaveTheSameBitsAtEveryLevel) {
  const Shape shape{3, 70, 48, 33, 40, 2, false, true, Activation::identity};
  const Case<float> c(shape);
  SerialPool pool;
  const auto want = run(FfnLevel<float>{&gemm_ref, &ffn_rows_ref}, c, pool);
  for (const auto& level : moe_ffn_family().levels()) {
    if (!level.available) continue;
    moe_ffn_family().force(level.name);
    EXPECT_EQ(run(moe_ffn_family()(), c, pool)[0], want[0]) << level.name;
  }
  moe_ffn_family().force("");
}

TEST(MoeFfn, ForcingChoosesTheTable) {
  for (const auto& level : moe_ffn_family().levels()) {
    if (!level.available) {
      EXPECT_THROW(moe_ffn_family().force(level.name), gw::ValueError);
      continue;
    }
    gw::force_kernels("moe_ffn=" + level.name);
    EXPECT_EQ(moe_ffn_family()().gemm == &gemm_ref, level.name == "ref");
#if defined(__x86_64__)
    EXPECT_EQ(moe_ffn_family()().gemm == &gemm_avx512, level.name == "avx512");
#elif defined(__aarch64__)
    EXPECT_EQ(moe_ffn_family()().gemm == &gemm_neon, level.name == "neon");
#endif
  }
  moe_ffn_family().force("");
}

// No buffer grows with experts × capacity: memory follows the formulas of the header.
TEST(MoeFfn, MemoryIsWhatTheHeaderSays) {
  const Shape shape{4, 256, 512, 256, 600, 2, true, false};
  const Case<float> c(shape);
  SerialPool pool;
  StrictMemory memory;
  std::vector<float> y(static_cast<size_t>(shape.tokens * shape.out));
  const auto& level = moe_ffn_family()();
  ffn_forward<float>(level, c.problem(), y.data(), {}, pool, memory);
  const int64_t padded = c.rows() + shape.experts * level.gemm->rows;
  EXPECT_LE(memory.bytes(), 4 * padded * (shape.in + shape.hidden) + (3 << 20));
}

// Few rows an expert and a wide layer, where a task wants long rows of weights: what it holds stays within
// the header's 3 MB all the same, also when one expert among them is full.
TEST(MoeFfn, BackwardMemoryOfFewRowsIsWhatTheHeaderSays) {
  for (const int64_t full : {0, 500}) {
    const Shape shape{5, 32, 8192, 256, 8 + full, 1, true, false};
    Case<float> c(shape);
    c.offsets = {0, 2, 4, 6, 8, 8 + full};
    c.token.resize(static_cast<size_t>(shape.tokens));
    std::iota(c.token.begin(), c.token.end(), 0);
    c.weight = values<float>(9, shape.tokens, 1);
    const auto kept = values<float>(10, c.rows() * shape.hidden, 1);
    std::vector<float> dx(c.x.size()), dw(c.weight.size()), dgate(c.gate.size()), dup(c.up.size()),
        ddown(c.down.size());
    SerialPool pool;
    StrictMemory memory;
    const auto& level = moe_ffn_family()();
    ffn_backward<float>(
        level, c.problem(), {kept.data(), kept.data()}, c.dy.data(),
        {dx.data(), dw.data(), dgate.data(), dup.data(), ddown.data(), nullptr, nullptr, nullptr}, pool,
        memory);
    const int64_t padded = c.rows() + shape.experts * level.gemm->rows,
                  dots = c.rows() * ceil_div(shape.hidden, level.gemm->cols);
    EXPECT_LE(memory.bytes(), 4 * (padded * (shape.out + 5 * shape.hidden) + dots) + (3 << 20)) << full;
  }
}

}  // namespace
