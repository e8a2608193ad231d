// A perceptron whose hidden units are shared out among experts is the same network while all of them serve.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/mixture/mixture.h"
#include "gatewright/models/copies.h"
#include "gatewright/ops/random.h"
#include "tests/runs/checked.h"

namespace gw::test::slices_runs {

TEST(Slices, AreEqualParts) {
  const auto w1 = ops::normal(Rng(1), {1, 6, 4}, 0, 1), w2 = ops::normal(Rng(2), {1, 4, 6}, 0, 1);
  const auto b1 = ops::normal(Rng(3), {1, 6}, 0, 1), b2 = ops::normal(Rng(4), {1, 4}, 0, 1);
  const auto first = slices_of(w1, {3, 2, 4}), second = slices_of(w2, {3, 4, 2});
  for (int64_t e = 0; e < 3; ++e) {
    EXPECT_TRUE(at::equal(first[e], w1[0].narrow(0, 2 * e, 2)));
    EXPECT_TRUE(at::equal(second[e], w2[0].narrow(1, 2 * e, 2)));
    EXPECT_TRUE(at::equal(slices_of(b1, {3, 2})[e], b1[0].narrow(0, 2 * e, 2)));
    EXPECT_TRUE(at::equal(slices_of(b2, {2, 4})[e % 2], b2[0] / 2));
  }
  EXPECT_TRUE(at::equal(slices_of(w1, {4, 2, 4}), w1)) << "what does not divide stays as it is";
  EXPECT_TRUE(at::equal(slices_of(w1, {1, 6, 4}), w1));
  const auto scale = at::ones({});
  EXPECT_TRUE(at::equal(slices_of(scale, {}), scale));
}

TEST(Slices, AddUpToThePerceptron) {
  const Json bank{{"part", "mlp"}, {"hidden", 24}, {"activation", "gelu"}, {"bias", true}, {"glu", true}};
  auto part = bank;
  part["hidden"] = 6;
  const auto whole = Mixture::from_json(
      {{"in", 10}, {"experts", 1}, {"policy", {{"part", "softmax_top_k"}, {"k", 1}}}, {"bank", bank}});
  const auto sliced = Mixture::from_json(
      {{"in", 10}, {"experts", 4}, {"policy", {{"part", "union_top_k"}, {"k", 4}}}, {"bank", part}});
  whole->to(at::kDouble), sliced->to(at::kDouble);
  const at::NoGradGuard no_grad;
  const auto from = whole->named_parameters();
  for (const auto& item : from)  // biases too
    if (item.key().rfind("bank.", 0) == 0) item.value().add_(0.01);
  for (auto& item : sliced->named_parameters())
    if (item.key().rfind("bank.", 0) == 0)
      item.value().copy_(slices_of(from[item.key()], item.value().sizes()));
  const auto x = ops::normal(Rng(5), {13, 10}, 0, 1).to(at::kDouble);
  EXPECT_LE((whole->forward(x).y - sliced->forward(x).y).abs().max().item<double>(), 1e-12);
}

constexpr const char* kBody = R"(
title = "a decoder, and its perceptrons in slices"
[defaults]
task = { part = "next_token" }
data = { part = "bytes", context = 32, files = ["declaration.txt"] }
network = { part = "decoder", width = 16, depth = 2, heads = 2, hidden = 32 }
objective = { part = "natural" }
optimizer = { part = "adam" }
schedule = { lr = 3e-3 }
batch = 16
epochs = 1
validation = 0.2
[sizes.tiny]
seeds = [0]
[arms.dense]
[arms.slices]
from = "dense"
[arms.slices.config]
start = { slices = true }
schedule = { lr = 0.0 }
network = { mixture = { experts = 4, policy = { part = "union_top_k", k = 4 }, bank = { part = "mlp", hidden = 8, glu = true, activation = "silu", bias = false } } }
[arms.half]
from = "dense"
[arms.half.config]
start = { slices = true }
schedule = { lr = 0.0 }
network = { mixture = { experts = 4, policy = { part = "union_top_k", k = 2 }, bank = { part = "mlp", hidden = 8, glu = true, activation = "silu", bias = false } } }
)";

TEST(Slices, OfATrainedDecoderAreThatDecoder) {
  const Scratch scratch;
  ASSERT_TRUE(check_in(scratch, kBody).failed.empty());
  const auto bits = [&](const std::string& arm) {
    return read_json(scratch / ("out/" + arm + "-seed0/metrics.json"))
        .at("metrics")
        .at("bits_per_token")
        .get<double>();
  };
  EXPECT_NEAR(bits("slices"), bits("dense"), 1e-5);
  EXPECT_GT(std::abs(bits("half") - bits("dense")), 1e-4) << "two of four slices are another network";
  const auto both = std::string(kBody) + "[arms.both]\nfrom = \"dense\"\n[arms.both.config]\n" +
                    "start = { slices = true, copies = true }\n";
  EXPECT_THROW(check_in(scratch, both, {"dense", "both"}, {}, "other"), ValueError);
}

}  // namespace gw::test::slices_runs
