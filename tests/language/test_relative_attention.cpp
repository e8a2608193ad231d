// Attention with relative positions and over a source against one query at a time, gradients included.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/language/blocks/cross_attention.h"
#include "gatewright/language/decoder.h"
#include "gatewright/ops/random.h"

namespace gw::test::relative_attention_cases {

at::Tensor drawn(uint64_t seed, at::IntArrayRef shape) {
  return ops::normal(Rng(seed), shape, 0, 1).to(at::kDouble).set_requires_grad(true);
}

/// One query and one head at a time. bias [H, n, S] or undefined.
at::Tensor plain(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                 const at::Tensor& bias, bool causal) {
  const int64_t group = q.size(0) / k.size(0), before = k.size(1) - q.size(1);
  std::vector<at::Tensor> heads;
  for (int64_t h = 0; h < q.size(0); ++h) {
    std::vector<at::Tensor> rows;
    for (int64_t i = 0; i < q.size(1); ++i) {
      const int64_t seen = causal ? before + i + 1 : k.size(1);
      auto score = at::mv(k[h / group].narrow(0, 0, seen), q[h][i]) * scale;
      if (bias.defined()) score = score + bias[h][i].narrow(0, 0, seen);
      rows.push_back(at::mv(v[h / group].narrow(0, 0, seen).t(), at::softmax(score, 0)));
    }
    heads.push_back(at::stack(rows));
  }
  return at::stack(heads);
}

void expect_same_gradients(const at::Tensor& a, const at::Tensor& b, const std::vector<at::Tensor>& of) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LE((a - b).abs().max().item<double>(), 1e-12);
  const auto to = ops::normal(Rng(99), a.sizes(), 0, 1).to(at::kDouble);
  const auto ours = torch::autograd::grad({(a * to).sum()}, of);
  const auto theirs = torch::autograd::grad({(b * to).sum()}, of);
  for (size_t i = 0; i < of.size(); ++i)
    EXPECT_LE((ours[i] - theirs[i]).abs().max().item<double>(), 1e-11) << "input " << i;
}

TEST(RelativeBias, BucketsAreThoseOfT5) {
  const RelativeBias both({1, 32, 128, true, 0}, Rng(1), true), back({1, 32, 128, false, 0}, Rng(1), true);
  const std::vector<std::pair<int64_t, int64_t>> of_both{{0, 0},   {-1, 1},  {-7, 7},    {-8, 8},
                                                         {-11, 8}, {-12, 9}, {-127, 15}, {-5000, 15},
                                                         {1, 17},  {7, 23},  {5000, 31}};
  for (const auto& [distance, bucket] : of_both) EXPECT_EQ(both.bucket(distance), bucket) << distance;
  const std::vector<std::pair<int64_t, int64_t>> of_back{
      {3, 0}, {0, 0}, {-1, 1}, {-15, 15}, {-16, 16}, {-18, 16}, {-19, 17}, {-128, 31}, {-9000, 31}};
  for (const auto& [distance, bucket] : of_back) EXPECT_EQ(back.bucket(distance), bucket) << distance;
  for (int64_t d = 1; d < 200; ++d) EXPECT_LE(back.bucket(1 - d), back.bucket(-d)) << d;
  EXPECT_THROW(RelativeBias({1, 2, 128, true, 0}, Rng(1), true), ValueError);
  EXPECT_THROW(RelativeBias({1, 32, 8, true, 0}, Rng(1), true), ValueError);
}

TEST(RelativeBias, ATileIsTheTableByDistance) {
  for (const bool both_ways : {true, false}) {
    const RelativeBias bias({3, 8, 12, both_ways, 1}, Rng(2), true);
    const auto table = bias.named_parameters()["weight"];
    const auto tile = bias.tile(5, 4, 2, 30);
    ASSERT_EQ(tile.sizes(), (std::vector<int64_t>{3, 4, 30}));
    for (int64_t q = 0; q < 4; ++q)
      for (int64_t k = 0; k < 30; ++k)
        EXPECT_TRUE(at::equal(tile.select(1, q).select(1, k), table[bias.bucket(2 + k - 5 - q)]))
            << q << " " << k;
  }
}

TEST(Attend, RelativePositionsAndSourcesAreTheFormula) {
  for (const int64_t n : {1, 6, 150}) {
    for (const bool causal : {true, false}) {
      const int64_t before = causal ? 9 : 0, s = n + before;
      RelativeBias relative({4, 8, 20, !causal, 1}, Rng(3), true);
      relative.to(torch::kDouble);
      const auto q = drawn(n, {4, n, 5}), k = drawn(n + 1, {2, s, 5}), v = drawn(n + 2, {2, s, 3});
      AttendOptions how{0.6, 0, {}, causal, &relative};
      expect_same_gradients(attend(q, k, v, how), plain(q, k, v, 0.6, relative.tile(before, n, 0, s), causal),
                            {q, k, v, relative.parameters()[0]});
    }
    const auto q = drawn(n, {4, n, 5}), k = drawn(7, {2, 11, 5}), v = drawn(8, {2, 11, 3});
    expect_same_gradients(attend(q, k, v, {1, 0, {}, false}), plain(q, k, v, 1, {}, false), {q, k, v});
  }
  const auto q = at::zeros({2, 3, 4});
  EXPECT_THROW(attend(q, at::zeros({2, 0, 4}), at::zeros({2, 0, 4}), {1, 0, {}, false}), ValueError);
  EXPECT_THROW(attend(q, q, q, {1, 2, {}, false}), ValueError);
}

// Texts of the batch's path, of one length with sources of one length, and of the path text by text.
TEST(CrossAttention, IsTheFormulaWithItsGradients) {
  CrossAttention block({8, 4, 2, 3, true, true, 0}, Rng(4), true);
  block.to(torch::kDouble);
  const auto p = block.named_parameters();
  for (auto& item : p)
    if (item.value().dim() == 1)
      at::NoGradGuard(), item.value().data().copy_(ops::normal(Rng(5), item.value().sizes(), 0, 1));
  for (const auto& [lengths, sources] : {std::pair{std::vector<int64_t>{5, 5}, std::vector<int64_t>{7, 7}},
                                         {{5, 5}, {3, 11}},
                                         {{2, 8}, {6, 1}}}) {
    const auto x = drawn(6, {10, 8}), source = drawn(7, {sources[0] + sources[1], 8});
    SourceRows read{sources, {block.keys(source)}};
    SequenceRows rows{lengths, {}, {}, {}, nullptr, &read};
    const auto heads = [&](const at::Tensor& t, const char* name, int64_t count) {
      const std::string from = name;
      const auto y = at::matmul(t, p[from + ".weight"].t()) + p[from + ".bias"];
      return y.view({t.size(0), count, 3}).transpose(0, 1);
    };
    std::vector<at::Tensor> all;
    int64_t first = 0, first_key = 0;
    for (size_t i = 0; i < 2; ++i) {
      const auto own = x.narrow(0, first, lengths[i]), s = source.narrow(0, first_key, sources[i]);
      const auto seen = plain(heads(own, "query", 4), heads(s, "key", 2), heads(s, "value", 2),
                              1 / std::sqrt(3.0), {}, false);
      all.push_back(seen.transpose(0, 1).reshape({lengths[i], -1}));
      first += lengths[i], first_key += sources[i];
    }
    const auto expected = at::matmul(at::cat(all), p["output.weight"].t()) + p["output.bias"];
    auto of = block.parameters();
    of.push_back(x), of.push_back(source);
    expect_same_gradients(block.forward(x, rows, 0), expected, of);
  }
  SequenceRows none{{3}, {}, {}};
  EXPECT_THROW(block.forward(at::zeros({3, 8}, at::kDouble), none, 0), ValueError);
}

// A decoder in a recipe may take relative positions: the same bits whatever is read at once, and it learns
// them.
TEST(Decoder, TakesRelativePositions) {
  DecoderOptions options;
  parse_options("decoder",
                Json{{"vocabulary", 30},
                     {"width", 12},
                     {"heads", 2},
                     {"positions", "relative"},
                     {"relative_buckets", 6},
                     {"relative_farthest", 9},
                     {"gated", false}},
                options);
  Decoder decoder(options);
  const auto text = ops::uniform(Rng(1), {15}, 0, 30).to(at::kLong);
  decoder.forward({text, {15}}).logits.square().mean().backward();
  for (const auto& item : decoder.named_parameters())
    EXPECT_TRUE(item.value().grad().defined()) << item.key();
  EXPECT_GT(decoder.named_parameters()["relative.weight"].grad().abs().max().item<double>(), 0);
  const at::NoGradGuard no_grad;
  const auto whole = decoder.forward({text, {15}}).logits;
  DecoderState state;
  decoder.forward({text.narrow(0, 0, 6), {6}, {&state}});
  const auto rest = decoder.forward({text.narrow(0, 6, 9), {9}, {&state}}).logits;
  EXPECT_LE((rest - whole.narrow(0, 6, 9)).abs().max().item<double>(), 1e-5);
  options.latent = 4;
  EXPECT_THROW(Decoder{options}, ValueError);
}

// Sines and cosines of a place are added to its embedding, whatever is read at once.
TEST(Decoder, TakesSinusoidalPositions) {
  DecoderOptions options;
  parse_options("decoder", Json{{"vocabulary", 30}, {"width", 9}, {"heads", 3}, {"positions", "sinusoidal"}},
                options);
  options.first_place = 2;
  const LayerStack stack("stack", options);
  const auto text = ops::uniform(Rng(1), {7}, 0, 30).to(at::kLong);
  const auto rows = stack.rows_of({text, {4, 3}});
  const at::NoGradGuard no_grad;
  const auto x = ops::normal(Rng(2), {7, 9}, 0, 1);
  auto moved = x.clone();
  for (int64_t t = 0; t < 7; ++t)
    for (int64_t i = 0; i < 4; ++i) {
      const double angle =
          static_cast<double>(2 + (t < 4 ? t : t - 4)) * std::pow(10000.0, -static_cast<double>(i) / 3);
      moved[t][i].add_(std::sin(angle)), moved[t][4 + i].add_(std::cos(angle));
    }
  auto still = rows;
  still.place = at::Tensor();
  RouterInputs inputs;
  std::vector<SitedPlan> plans;
  const auto with = stack.through(x, rows, inputs, {}, plans),
             without = stack.through(moved, still, inputs, {}, plans);
  EXPECT_LE((with - without).abs().max().item<double>(), 1e-5);
}

}  // namespace gw::test::relative_attention_cases
