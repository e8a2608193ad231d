#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <thread>

#include "base/error.h"
#include "base/rng.h"
#include "kernels/moe_ffn/family.h"

namespace {

using namespace gw::kernels;

/// Real threads, without libtorch and OpenMP: what the thread sanitizer understands.
class ThreadTeam : public Team {
 public:
  explicit ThreadTeam(int workers) : workers_(workers) {}
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

/// Exactly what is asked for, filled with NaN: a read of what was never written shows.
class StrictMemory : public Memory {
 public:
  void* take(int64_t bytes) override {
    bytes_ += bytes;
    blocks_.emplace_back(std::aligned_alloc(64, static_cast<size_t>((bytes + 63) / 64 * 64)), std::free);
    std::memset(blocks_.back().get(), 0xff, static_cast<size_t>(bytes));
    return blocks_.back().get();
  }
  int64_t bytes() const { return bytes_; }

 private:
  std::vector<std::unique_ptr<void, void (*)(void*)>> blocks_;
  int64_t bytes_ = 0;
};

void set(double v, double& to) { to = v; }
void set(double v, float& to) { to = static_cast<float>(v); }
void set(double v, Bf16& to) {
  const auto f = static_cast<float>(v);
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  to.bits = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
double get(double v) { return v; }
double get(float v) { return static_cast<double>(v); }
double get(Bf16 v) {
  const uint32_t bits = static_cast<uint32_t>(v.bits) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return static_cast<double>(f);
}

struct Shape {
  int64_t experts, in, hidden, out, tokens, k;
  bool glu, bias;
  Activation activation = Activation::silu;
};

template <class T>
std::vector<T> values(uint64_t stream, int64_t count, double scale) {
  const gw::Rng rng = gw::Rng(7).fork("case", stream);
  std::vector<T> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i) set((rng.uniform(i) * 2 - 1) * scale, out[i]);
  return out;
}

/// A problem over types T whose numbers are those of bf16, so that all types compute with the same inputs.
template <class T>
struct Case {
  using Sum = typename SumOf<T>::type;
  Shape s;
  std::vector<T> x, gate, up, down, dy;
  std::vector<Sum> weight, gate_bias, up_bias, down_bias;
  std::vector<int64_t> offsets{0}, token;

  explicit Case(const Shape& shape) : s(shape) {
    const auto exact = [](uint64_t stream, int64_t count, double scale) {
      std::vector<T> out;
      for (const auto v : values<Bf16>(stream, count, scale)) out.emplace_back(), set(get(v), out.back());
      return out;
    };
    x = exact(1, s.tokens * s.in, 1), gate = exact(2, s.experts * s.hidden * s.in, 1 / std::sqrt(s.in));
    up = exact(3, s.experts * s.hidden * s.in, 1 / std::sqrt(s.in)), down = exact(4, s.experts * s.out * s.hidden, 1 / std::sqrt(s.hidden));
    dy = exact(5, s.tokens * s.out, 1);
    if (s.bias) gate_bias = values<Sum>(6, s.experts * s.hidden, 1), up_bias = values<Sum>(7, s.experts * s.hidden, 1), down_bias = values<Sum>(8, s.experts * s.out, 1);
    const gw::Rng rng(11);
    for (int64_t e = 0; e < s.experts; ++e) {
      for (int64_t t = 0; t < s.tokens; ++t) {  // the last expert stays empty when there is more than one
        const bool takes = s.experts == 1 || (e + 1 < s.experts && rng.uniform(static_cast<uint64_t>(e * s.tokens + t)) < static_cast<double>(s.k) / static_cast<double>(s.experts));
        if (takes) token.push_back(t);
      }
      offsets.push_back(static_cast<int64_t>(token.size()));
    }
    weight = values<Sum>(9, static_cast<int64_t>(token.size()), 1);
  }
  int64_t rows() const { return offsets.back(); }
  FfnProblem<T> problem() const {
    FfnProblem<T> p;
    p.experts = s.experts, p.in = s.in, p.hidden = s.hidden, p.out = s.out, p.tokens = s.tokens;
    p.offsets = offsets.data(), p.token = token.data(), p.weight = weight.data(), p.x = x.data(), p.activation = s.activation;
    p.up = {up.data(), s.bias ? up_bias.data() : nullptr, nullptr}, p.down = {down.data(), s.bias ? down_bias.data() : nullptr, nullptr};
    if (s.glu) p.gate = {gate.data(), s.bias ? gate_bias.data() : nullptr, nullptr};
    return p;
  }
};

/// Every output as f64, named.
using Answer = std::vector<std::pair<std::string, std::vector<double>>>;

template <class V>
std::vector<double> wide(const V& values) {
  std::vector<double> out;
  for (const auto v : values) out.push_back(get(v));
  return out;
}

template <class T>
Answer run(const FfnLevel<T>& level, const Case<T>& c, Team& team, bool packed = false) {
  using Sum = typename SumOf<T>::type;
  const auto& s = c.s;
  auto p = c.problem();
  std::vector<T> panels[3];
  if (packed) {
    const auto pack = [&](std::vector<T>& to, FfnWeight<T>& w, int64_t lanes, int64_t k) {
      to.resize(static_cast<size_t>(packed_size(*level.gemm, s.experts, lanes, k)));
      pack_weights(*level.gemm, w.data, s.experts, lanes, k, to.data(), team);
      w.packed = to.data();
    };
    pack(panels[0], p.up, s.hidden, s.in), pack(panels[1], p.down, s.out, s.hidden);
    if (s.glu) pack(panels[2], p.gate, s.hidden, s.in);
  }
  const auto n = [](int64_t count) { return static_cast<size_t>(count); };
  std::vector<Sum> y(n(s.tokens * s.out)), dx(n(s.tokens * s.in)), dw(n(c.rows())), dbg(c.gate_bias.size()), dbu(c.up_bias.size()), dbd(c.down_bias.size());
  std::vector<T> kept_gate(n(s.glu ? c.rows() * s.hidden : 0)), kept_up(n(c.rows() * s.hidden)), dgate(n(s.glu ? s.experts * s.hidden * s.in : 0)),
      dup(c.up.size()), ddown(c.down.size());
  StrictMemory forward, backward;
  ffn_forward<T>(level, p, y.data(), {s.glu ? kept_gate.data() : nullptr, kept_up.data()}, team, forward);
  FfnGradients<T> to{dx.data(), dw.data(), s.glu ? dgate.data() : nullptr, dup.data(), ddown.data(), nullptr, nullptr, nullptr};
  if (s.bias) to.gate_bias = s.glu ? dbg.data() : nullptr, to.up_bias = dbu.data(), to.down_bias = dbd.data();
  ffn_backward<T>(level, p, {kept_gate.data(), kept_up.data()}, c.dy.data(), to, team, backward);
  return {{"y", wide(y)}, {"dx", wide(dx)}, {"dweight", wide(dw)}, {"dgate", wide(dgate)}, {"dup", wide(dup)}, {"ddown", wide(ddown)},
          {"dgate_bias", s.glu ? wide(dbg) : std::vector<double>()}, {"dup_bias", wide(dbu)}, {"ddown_bias", wide(dbd)}};
}

void expect_close(const Answer& got, const Answer& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].second.size(), want[i].second.size()) << got[i].first;
    double scale = 1e-30, worst = 0;
    for (const double v : want[i].second) scale = std::max(scale, std::abs(v));
    for (size_t j = 0; j < got[i].second.size(); ++j) {
      ASSERT_TRUE(std::isfinite(got[i].second[j])) << got[i].first << " at " << j;
      worst = std::max(worst, std::abs(got[i].second[j] - want[i].second[j]));
    }
    EXPECT_LE(worst / scale, tolerance) << got[i].first;
  }
}

const std::vector<Shape> kShapes{
    {4, 33, 70, 45, 57, 2, true, true},  {3, 64, 32, 64, 100, 1, false, true}, {8, 17, 19, 23, 5, 3, true, false}, {1, 20, 24, 20, 600, 1, true, false},
    {2, 1, 1, 1, 3, 1, false, false},    {5, 1100, 37, 9, 31, 2, true, false}, {3, 8, 1030, 8, 20, 2, false, true}, {2, 16, 16, 16, 0, 1, true, true}};

std::string name_of(const testing::TestParamInfo<std::string>& level) { return level.param; }

template <class Family>
bool unavailable(Family& family, const std::string& name) {
  for (const auto& level : family.levels()) {
    if (level.name == name) return !level.available;
  }
  return true;
}

// Written out by plain loops in f64, one row at a time, with a derivative by its formula: knows nothing of panels.
double silu(double v) { return v / (1 + std::exp(-v)); }
double silu_slope(double v) { return (1 + std::exp(-v) * (1 + v)) / std::pow(1 + std::exp(-v), 2); }

TEST(MoeFfnReference, EqualsTheFormulaWrittenOut) {
  const Case<double> c({3, 7, 5, 6, 9, 2, true, true});
  const auto& s = c.s;
  SerialTeam team;
  const auto got = run(moe_ffn_ref_f64, c, team);
  std::vector<double> y(static_cast<size_t>(s.tokens * s.out)), dx(static_cast<size_t>(s.tokens * s.in)), dw(c.token.size()), dgate(c.gate.size());
  for (int64_t e = 0; e < s.experts; ++e) {
    for (int64_t r = c.offsets[static_cast<size_t>(e)]; r < c.offsets[static_cast<size_t>(e) + 1]; ++r) {
      const auto row = static_cast<size_t>(r);
      const int64_t t = c.token[row];
      for (int64_t h = 0; h < s.hidden; ++h) {
        const auto at = [&](const std::vector<double>& w, int64_t d) { return w[static_cast<size_t>((e * s.hidden + h) * s.in + d)]; };
        double g = c.gate_bias[static_cast<size_t>(e * s.hidden + h)], u = c.up_bias[static_cast<size_t>(e * s.hidden + h)], dh = 0;
        for (int64_t d = 0; d < s.in; ++d) g += at(c.gate, d) * c.x[static_cast<size_t>(t * s.in + d)], u += at(c.up, d) * c.x[static_cast<size_t>(t * s.in + d)];
        for (int64_t o = 0; o < s.out; ++o) {
          const double w = c.down[static_cast<size_t>((e * s.out + o) * s.hidden + h)];
          y[static_cast<size_t>(t * s.out + o)] += c.weight[row] * silu(g) * u * w;
          dh += c.dy[static_cast<size_t>(t * s.out + o)] * w;
        }
        dw[row] += dh * silu(g) * u;
        const double dg = c.weight[row] * dh * u * silu_slope(g), du = c.weight[row] * dh * silu(g);
        for (int64_t d = 0; d < s.in; ++d) {
          dx[static_cast<size_t>(t * s.in + d)] += dg * at(c.gate, d) + du * at(c.up, d);
          dgate[static_cast<size_t>((e * s.hidden + h) * s.in + d)] += dg * c.x[static_cast<size_t>(t * s.in + d)];
        }
      }
      for (int64_t o = 0; o < s.out; ++o) {
        const double b = c.down_bias[static_cast<size_t>(e * s.out + o)];
        y[static_cast<size_t>(t * s.out + o)] += c.weight[row] * b;
        dw[row] += c.dy[static_cast<size_t>(t * s.out + o)] * b;
      }
    }
  }
  expect_close({got[0], got[1], got[2], got[3]}, {{"y", y}, {"dx", dx}, {"dweight", dw}, {"dgate", dgate}}, 1e-13);
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
  SerialTeam team;
  for (const auto& shape : kShapes) expect_close(run(moe_ffn_family()(), Case<float>(shape), team), run(moe_ffn_ref_f64, Case<double>(shape), team), 3e-6);
}
TEST_P(Half, AgreesWithDoublePrecision) {
  SerialTeam team;
  for (const auto& shape : kShapes) expect_close(run(moe_ffn_bf16_family()(), Case<Bf16>(shape), team), run(moe_ffn_ref_f64, Case<double>(shape), team), 0.02);
}

TEST_P(Float, EveryActivationAgreesWithDoublePrecision) {
  SerialTeam team;
  for (int a = 0; a <= static_cast<int>(Activation::gelu_tanh); ++a) {
    for (const bool glu : {false, true}) {
      const Shape shape{2, 24, 40, 24, 30, 1, glu, true, static_cast<Activation>(a)};
      SCOPED_TRACE(a);
      expect_close(run(moe_ffn_family()(), Case<float>(shape), team), run(moe_ffn_ref_f64, Case<double>(shape), team), 3e-6);
    }
  }
}

TEST_P(Float, ThreadsAndPackedWeightsGiveTheSameBits) {
  SerialTeam one;
  ThreadTeam three(3);
  for (const auto& shape : kShapes) {
    const Case<float> c(shape);
    const auto want = run(moe_ffn_family()(), c, one);
    EXPECT_EQ(run(moe_ffn_family()(), c, three), want);
    EXPECT_EQ(run(moe_ffn_family()(), c, three, true), want);
  }
}
TEST_P(Half, ThreadsAndPackedWeightsGiveTheSameBits) {
  SerialTeam one;
  ThreadTeam three(3);
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
  rows.activate(Activation::silu, in, one, 5, h, nullptr, nullptr);
  EXPECT_NEAR(h[0], 0, 1e-6);
  EXPECT_NEAR(h[1], 0, 1e-6);
  EXPECT_EQ(h[2], 0);
  EXPECT_EQ(h[3], 1e30f);
  EXPECT_TRUE(std::isnan(h[4]));
  rows.activate(Activation::relu, in, one, 5, h, nullptr, nullptr);
  EXPECT_EQ(h[0], 0);
  EXPECT_EQ(h[3], 1e30f);
  EXPECT_TRUE(std::isnan(h[4]));
}

INSTANTIATE_TEST_SUITE_P(MoeFfn, Float, testing::Values("ref", "avx2", "avx512"), name_of);
INSTANTIATE_TEST_SUITE_P(MoeFfn, Half, testing::Values("ref", "avx2", "avx512", "avx512_bf16", "amx"), name_of);

// Products are summed by fused multiply-add in the order of k at every level, so whole f32 products have equal bits at all of them.
TEST(MoeFfn, ProductsHaveTheSameBitsAtEveryLevel) {
  const Shape shape{3, 70, 48, 33, 40, 2, false, true, Activation::identity};
  const Case<float> c(shape);
  SerialTeam team;
  const auto want = run(FfnLevel<float>{&gemm_ref, &ffn_rows_ref}, c, team);
  for (const auto& level : moe_ffn_family().levels()) {
    if (!level.available) continue;
    moe_ffn_family().force(level.name);
    EXPECT_EQ(run(moe_ffn_family()(), c, team)[0], want[0]) << level.name;
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
    EXPECT_EQ(moe_ffn_family()().gemm == &gemm_avx512, level.name == "avx512");
  }
  moe_ffn_family().force("");
}

// No buffer grows with experts × capacity: memory follows the formulas of the header.
TEST(MoeFfn, MemoryIsWhatTheHeaderSays) {
  const Shape shape{4, 256, 512, 256, 600, 2, true, false};
  const Case<float> c(shape);
  SerialTeam team;
  StrictMemory memory;
  std::vector<float> y(static_cast<size_t>(shape.tokens * shape.out));
  const auto& level = moe_ffn_family()();
  ffn_forward<float>(level, c.problem(), y.data(), {}, team, memory);
  const int64_t padded = c.rows() + shape.experts * level.gemm->rows;
  EXPECT_LE(memory.bytes(), 4 * padded * (shape.in + shape.hidden) + (3 << 20));
}

}  // namespace
