// The decoder and its blocks against plain formulas: bits, gradients, bad input.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/language/blocks/attend.h"
#include "gatewright/language/decoder.h"
#include "gatewright/ops/random.h"

namespace gw::test::decoder_cases {

DecoderOptions small(const Json& more = Json::object()) {
  Json table = {
      {"vocabulary", 30},
      {"width", 16},
      {"depth", 2},
      {"heads", 4},
      {"key_heads", 2},
      {"mixture",
       {{"experts", 4},
        {"policy", {{"part", "softmax_top_k"}, {"k", 2}}},
        {"bank",
         {{"part", "mlp"}, {"hidden", 12}, {"glu", true}, {"activation", "silu"}, {"bias", false}}}}}};
  table.update(more);
  DecoderOptions options;
  parse_options("decoder", table, options);
  return options;
}

at::Tensor ids(int64_t n, uint64_t seed) { return ops::uniform(Rng(seed), {n}, 0, 30).to(at::kLong); }

/// One query at a time, one head at a time, in f64.
at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const AttendOptions& o) {
  auto y = at::zeros({q.size(0), q.size(1), v.size(2)}, at::kDouble);
  const int64_t group = q.size(0) / k.size(0), before = k.size(1) - q.size(1);
  for (int64_t h = 0; h < q.size(0); ++h) {
    for (int64_t i = 0; i < q.size(1); ++i) {
      const int64_t last = before + i, first = o.window > 0 ? std::max<int64_t>(0, last - o.window + 1) : 0;
      const auto keys = k[h / group].narrow(0, first, last - first + 1);
      auto e = (at::mv(keys, q[h][i]) * o.scale).exp();
      const double sink = o.sink.defined() ? std::exp(o.sink[h].item<double>()) : 0;
      y[h][i] = at::mv(v[h / group].narrow(0, first, last - first + 1).t(), e / (e.sum() + sink));
    }
  }
  return y;
}

TEST(Attend, IsTheFormula) {
  for (const int64_t n : {1, 5, 150}) {
    for (const int64_t window : {0, 1, 40}) {
      for (const bool sunk : {false, true}) {
        const Rng rng(n * 100 + window);
        const auto q = ops::normal(rng.fork("q"), {6, n, 4}, 0, 1).to(at::kDouble);
        const auto k = ops::normal(rng.fork("k"), {2, n + 20, 4}, 0, 1).to(at::kDouble);
        const auto v = ops::normal(rng.fork("v"), {2, n + 20, 3}, 0, 1).to(at::kDouble);
        AttendOptions how{0.7, window, {}};
        if (sunk) how.sink = ops::normal(rng.fork("s"), {6}, 0, 1).to(at::kDouble);
        const auto error = (attend(q, k, v, how) - plain_attention(q, k, v, how)).abs().max().item<double>();
        EXPECT_LE(error, 1e-12) << n << " queries, window " << window << ", sink " << sunk;
      }
    }
  }
}

/// The formula with all scores at once, which autograd follows.
at::Tensor whole_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const AttendOptions& o) {
  const int64_t group = q.size(0) / k.size(0), n = q.size(1), s = k.size(1);
  const auto place = at::arange(s - n, s, at::kLong).unsqueeze(1),
             key = at::arange(s, at::kLong).unsqueeze(0);
  auto hidden = key.gt(place);
  if (o.window > 0) hidden = hidden.logical_or(key.le(place - o.window));
  auto score = at::matmul(q, k.repeat_interleave(group, 0).transpose(1, 2)) * o.scale;
  score = score.masked_fill(hidden, -HUGE_VAL);
  if (o.sink.defined()) score = at::cat({score, o.sink.view({-1, 1, 1}).expand({-1, n, 1})}, 2);
  return at::matmul(at::softmax(score, 2).narrow(2, 0, s), v.repeat_interleave(group, 0));
}

// Above 128 queries scores are computed again for the backward pass, tile by tile.
TEST(Attend, StreamedGradientsAreThoseOfAllScores) {
  for (const int64_t window : {0, 60}) {
    for (const bool sunk : {false, true}) {
      const Rng rng(7);
      const auto drawn = [&](const char* name, at::IntArrayRef shape) {
        return ops::normal(rng.fork(name), shape, 0, 1).to(at::kDouble).requires_grad_(true);
      };
      const auto q = drawn("q", {4, 300, 5}), k = drawn("k", {2, 310, 5}), v = drawn("v", {2, 310, 3});
      AttendOptions how{0.7, window, {}};
      std::vector<at::Tensor> inputs{q, k, v};
      if (sunk) how.sink = drawn("s", {4}), inputs.push_back(how.sink);
      const auto weight = ops::normal(rng.fork("w"), {4, 300, 3}, 0, 1).to(at::kDouble);
      const auto streamed = torch::autograd::grad({(attend(q, k, v, how) * weight).sum()}, inputs);
      const auto whole = torch::autograd::grad({(whole_attention(q, k, v, how) * weight).sum()}, inputs);
      for (size_t i = 0; i < inputs.size(); ++i)
        EXPECT_LT((streamed[i] - whole[i]).abs().max().item<double>(), 1e-11)
            << "input " << i << ", window " << window << ", sink " << sunk;
    }
  }
}

TEST(Attend, StreamedGradientsHaveNoSecondOrder) {
  const auto q = at::ones({1, 200, 2}).requires_grad_(true);
  EXPECT_THROW(torch::autograd::grad({attend(q, q, q, {}).sum()}, {q}, {}, true, /*create_graph=*/true),
               ValueError);
}

TEST(Attend, RefusesHeadsThatDoNotDivide) {
  const auto q = at::zeros({5, 1, 4}), k = at::zeros({2, 1, 4});
  EXPECT_THROW(attend(q, k, k, {}), ValueError);
}

// Without gradients f32 and bf16 take another way than f64.
TEST(Attend, ByRowsIsTheFormula) {
  const at::NoGradGuard no_grad;
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    for (const int64_t n : {1, 5, 150}) {
      for (const int64_t window : {0, 1, 40}) {
        for (const bool sunk : {false, true}) {
          const Rng rng(n * 100 + window);
          const auto drawn = [&](const char* name, at::IntArrayRef shape) {
            return ops::normal(rng.fork(name), shape, 0, 1).to(type);
          };
          const auto q = drawn("q", {n, 6, 20}).transpose(0, 1),
                     k = drawn("k", {n + 20, 2, 20}).transpose(0, 1);
          const auto v = drawn("v", {2, n + 20, 7});
          AttendOptions how{0.3, window, {}};
          if (sunk) how.sink = drawn("s", {6});
          const auto y = attend(q, k, v, how);
          ASSERT_EQ(y.scalar_type(), type);
          if (sunk) how.sink = how.sink.to(at::kDouble);
          const auto wanted = plain_attention(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble), how);
          EXPECT_LE((y.to(at::kDouble) - wanted).abs().max().item<double>(), type == at::kFloat ? 2e-6 : 1e-2)
              << n << " queries, window " << window << ", sink " << sunk;
        }
      }
    }
  }
}

// A query's answer does not depend on how many are asked at once, and on how many threads answer.
TEST(Attend, QueriesHaveTheirBits) {
  const at::NoGradGuard no_grad;
  const int threads = at::get_num_threads();
  for (const int64_t window : {0, 30}) {
    const Rng rng(11);
    const auto q = ops::normal(rng.fork("q"), {6, 200, 24}, 0, 1),
               k = ops::normal(rng.fork("k"), {2, 200, 24}, 0, 1),
               v = ops::normal(rng.fork("v"), {2, 200, 40}, 0, 1);
    const AttendOptions how{0.3, window, ops::normal(rng.fork("s"), {6}, 0, 1)};
    at::set_num_threads(1);
    const auto all = attend(q, k, v, how);
    at::set_num_threads(3);
    EXPECT_TRUE(at::equal(attend(q, k, v, how), all)) << "threads, window " << window;
    at::set_num_threads(threads);
    for (const int64_t n : {1, 2, 17, 90}) {
      for (const int64_t end : {n, int64_t{100}, int64_t{200}}) {
        const auto part = attend(q.narrow(1, end - n, n), k.narrow(1, 0, end), v.narrow(1, 0, end), how);
        EXPECT_TRUE(at::equal(part, all.narrow(1, end - n, n)))
            << n << " to " << end << ", window " << window;
      }
    }
  }
}

// Rows of a text have the same bits alone, beside others, and whatever is read at once.
TEST(Decoder, TextsHaveTheirBits) {
  const at::NoGradGuard no_grad;
  Decoder decoder(small());
  decoder.eval();
  const auto a = ids(9, 1), b = ids(13, 2), c = ids(9, 3);
  const auto alone = decoder.forward({a, {9}}).logits;
  EXPECT_TRUE(at::equal(decoder.forward({at::cat({b, a}), {13, 9}}).logits.narrow(0, 13, 9), alone));
  EXPECT_TRUE(at::equal(decoder.forward({at::cat({c, a}), {9, 9}}).logits.narrow(0, 9, 9), alone));
  DecoderState state;
  EXPECT_TRUE(at::equal(decoder.forward({a, {9}, {&state}}).logits, alone));
  EXPECT_TRUE(at::equal(decoder.forward({a, {9}, {}, true}).logits, alone.narrow(0, 8, 1)));
}

// Token by token, in pieces, beside a text that goes on: the bits of reading all at once.
TEST(Decoder, TokensHaveTheirBits) {
  const at::NoGradGuard no_grad;
  const Json dense = {{"hidden", 24}, {"dense_first", 2}}, windows = {{"window", 5}, {"sinks", true}};
  for (const auto& more : {Json::object(), dense, windows}) {
    Decoder decoder(small(more));
    decoder.eval();
    const auto a = ids(70, 1), b = ids(20, 2);
    const auto all = decoder.forward({a, {70}}).logits, other = decoder.forward({b, {20}}).logits;
    DecoderState one, two;
    EXPECT_TRUE(at::equal(decoder.forward({a.narrow(0, 0, 50), {50}, {&one}}).logits, all.narrow(0, 0, 50)));
    for (int64_t i = 0; i < 20; ++i) {
      const auto both =
          decoder.forward({at::cat({a.narrow(0, 50 + i, 1), b.narrow(0, i, 1)}), {1, 1}, {&one, &two}});
      ASSERT_TRUE(at::equal(both.logits[0], all[50 + i])) << "token " << 50 + i << ", " << more.dump();
      ASSERT_TRUE(at::equal(both.logits[1], other[i])) << "token " << i << ", " << more.dump();
    }
  }
}

TEST(Decoder, GradientsAreThoseOfDifferences) {
  auto options =
      small({{"query_norm", "whole"}, {"sinks", true}, {"residual_scale", 0.8}, {"centred_norm", true}});
  Decoder decoder(options);
  decoder.to(torch::kDouble);
  const auto text = ids(7, 4);
  const auto weight = ops::normal(Rng(5), {7, 30}, 0, 1).to(at::kDouble);
  const auto loss = [&] { return (decoder.forward({text, {7}}).logits.to(at::kDouble) * weight).sum(); };
  loss().backward();
  for (const auto& item : decoder.named_parameters()) {
    if (item.key().find("gate.weight") != std::string::npos) continue;  // f32 in every layer
    auto flat = item.value().detach().view({-1});
    const auto gradient = item.value().grad();
    ASSERT_TRUE(gradient.defined()) << item.key();
    const int64_t at = flat.numel() / 2;
    const double value = flat[at].item<double>(), step = 1e-6;
    const at::NoGradGuard no_grad;
    flat[at] = value + step;
    const double above = loss().item<double>();
    flat[at] = value - step;
    const double below = loss().item<double>();
    flat[at] = value;
    const double expected = (above - below) / (2 * step), got = gradient.view({-1})[at].item<double>();
    EXPECT_NEAR(got, expected, 1e-5 * std::max(1.0, std::abs(expected))) << item.key();
  }
}

TEST(Decoder, RefusesWhatDoesNotFit) {
  Decoder decoder(small());
  EXPECT_THROW(decoder.forward({ids(4, 1), {5}}), ValueError);
  EXPECT_THROW(decoder.forward({ids(4, 1), {4, 0}}), ValueError);
  EXPECT_THROW(decoder.forward({at::tensor({1, 30}, at::kLong), {2}}), ValueError);
  EXPECT_THROW(decoder.forward({at::tensor({-1}, at::kLong), {1}}), ValueError);
  DecoderState one;
  EXPECT_THROW(decoder.forward({ids(4, 1), {2, 2}, {&one}}), ValueError);
  EXPECT_THROW(Decoder(small({{"heads", 3}, {"key_heads", 2}})), ValueError);
}

TEST(Rotary, TurnsByThePosition) {
  RotaryOptions options;
  options.base = 100;
  const Rotary rotary(4, options);
  const auto x = at::tensor({1.0, 0.0, 0.0, 2.0}, at::kDouble).view({1, 1, 4});
  const auto y = rotary.rotate(x, rotary.angles(at::tensor({3}, at::kLong), 4)).view({-1});
  EXPECT_NEAR(y[0].item<double>(), std::cos(3.0), 1e-6);
  EXPECT_NEAR(y[2].item<double>(), std::sin(3.0), 1e-6);
  EXPECT_NEAR(y[1].item<double>(), -2 * std::sin(0.3), 1e-6);
  EXPECT_NEAR(y[3].item<double>(), 2 * std::cos(0.3), 1e-6);
}

TEST(Rotary, LongTextsTakeTheLongFactors) {
  RotaryOptions options;
  options.base = 100, options.scaling = "longrope", options.original = 10;
  options.short_factor = {1, 1}, options.long_factor = {2, 4};
  options.short_attention = 1, options.long_attention = 1.5;
  const Rotary rotary(4, options);
  const auto position = at::tensor({8}, at::kLong);
  const auto near = rotary.angles(position, 10), far = rotary.angles(position, 11);
  EXPECT_NEAR(near.cos[0][0].item<double>(), std::cos(8.0), 1e-6);
  EXPECT_NEAR(far.cos[0][0].item<double>(), 1.5 * std::cos(4.0), 1e-6);
  EXPECT_NEAR(far.sin[0][1].item<double>(), 1.5 * std::sin(0.2), 1e-6);
}

}  // namespace gw::test::decoder_cases
