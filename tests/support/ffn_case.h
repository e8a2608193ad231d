#pragma once
// Problems for the feed-forward kernels, and what a level answers to them.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/kernels/moe_ffn/family.h"

namespace gw::test {

using namespace kernels;

/// Exactly what is asked for, filled with NaN: a read of what was never written shows.
class StrictMemory : public Arena {
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

inline void set(double v, double& to) { to = v; }
inline void set(double v, float& to) { to = static_cast<float>(v); }
inline void set(double v, Bf16& to) {
  const auto f = static_cast<float>(v);
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  to.bits = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
inline double get(double v) { return v; }
inline double get(float v) { return static_cast<double>(v); }
inline double get(Bf16 v) {
  const uint32_t bits = static_cast<uint32_t>(v.bits) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return static_cast<double>(f);
}

struct Shape {
  int64_t experts, in, hidden, out, tokens, k;
  bool glu, bias;
  Activation activation = Activation::silu;
  GluBounds bounds{};
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
    up = exact(3, s.experts * s.hidden * s.in, 1 / std::sqrt(s.in)),
    down = exact(4, s.experts * s.out * s.hidden, 1 / std::sqrt(s.hidden));
    dy = exact(5, s.tokens * s.out, 1);
    if (s.bias)
      gate_bias = values<Sum>(6, s.experts * s.hidden, 1), up_bias = values<Sum>(7, s.experts * s.hidden, 1),
      down_bias = values<Sum>(8, s.experts * s.out, 1);
    const gw::Rng rng(11);
    for (int64_t e = 0; e < s.experts; ++e) {
      for (int64_t t = 0; t < s.tokens; ++t) {  // the last expert stays empty when there is more than one
        const bool takes = s.experts == 1 || (e + 1 < s.experts &&
                                              rng.uniform(static_cast<uint64_t>(e * s.tokens + t)) <
                                                  static_cast<double>(s.k) / static_cast<double>(s.experts));
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
    p.offsets = offsets.data(), p.token = token.data(), p.weight = weight.data(), p.x = x.data(),
    p.activation = s.activation, p.bounds = s.bounds;
    p.up = {up.data(), s.bias ? up_bias.data() : nullptr, nullptr},
    p.down = {down.data(), s.bias ? down_bias.data() : nullptr, nullptr};
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
Answer run(const FfnLevel<T>& level, const Case<T>& c, ThreadPool& pool, bool packed = false) {
  using Sum = typename SumOf<T>::type;
  const auto& s = c.s;
  auto p = c.problem();
  std::vector<T> panels[3];
  if (packed) {
    const auto pack = [&](std::vector<T>& to, FfnWeight<T>& w, int64_t lanes, int64_t k) {
      to.resize(static_cast<size_t>(packed_size(*level.gemm, s.experts, lanes, k)));
      pack_weights(*level.gemm, w.data, s.experts, lanes, k, to.data(), pool);
      w.packed = to.data();
    };
    pack(panels[0], p.up, s.hidden, s.in), pack(panels[1], p.down, s.out, s.hidden);
    if (s.glu) pack(panels[2], p.gate, s.hidden, s.in);
  }
  const auto n = [](int64_t count) { return static_cast<size_t>(count); };
  std::vector<Sum> y(n(s.tokens * s.out)), dx(n(s.tokens * s.in)), dw(n(c.rows())), dbg(c.gate_bias.size()),
      dbu(c.up_bias.size()), dbd(c.down_bias.size());
  std::vector<T> saved_gate(n(s.glu ? c.rows() * s.hidden : 0)), saved_up(n(c.rows() * s.hidden)),
      dgate(n(s.glu ? s.experts * s.hidden * s.in : 0)), dup(c.up.size()), ddown(c.down.size());
  StrictMemory forward, backward;
  ffn_forward<T>(level, p, y.data(), {s.glu ? saved_gate.data() : nullptr, saved_up.data()}, pool, forward);
  FfnGradients<T> to{dx.data(), dw.data(), s.glu ? dgate.data() : nullptr, dup.data(), ddown.data(), nullptr,
                     nullptr,   nullptr};
  if (s.bias) to.gate_bias = s.glu ? dbg.data() : nullptr, to.up_bias = dbu.data(), to.down_bias = dbd.data();
  ffn_backward<T>(level, p, {saved_gate.data(), saved_up.data()}, c.dy.data(), to, pool, backward);
  return {{"y", wide(y)},
          {"dx", wide(dx)},
          {"dweight", wide(dw)},
          {"dgate", wide(dgate)},
          {"dup", wide(dup)},
          {"ddown", wide(ddown)},
          {"dgate_bias", s.glu ? wide(dbg) : std::vector<double>()},
          {"dup_bias", wide(dbu)},
          {"ddown_bias", wide(dbd)}};
}

inline void expect_close(const Answer& got, const Answer& want, double tolerance) {
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

inline const std::vector<Shape> kShapes{
    {4, 33, 70, 45, 57, 2, true, true},
    {3, 64, 32, 64, 100, 1, false, true},
    {8, 17, 19, 23, 5, 3, true, false},
    {1, 20, 24, 20, 600, 1, true, false},
    {2, 1, 1, 1, 3, 1, false, false},
    {5, 1100, 37, 9, 31, 2, true, false},
    {3, 8, 1030, 8, 20, 2, false, true},
    {2, 16, 16, 16, 0, 1, true, true},
    {6, 64, 96, 64, 40, 2, true, true},
    {5, 1088, 64, 96, 9, 2, true, false}};  // experts with few rows and with many, in whole vectors

}  // namespace gw::test
