// Patches of images as tokens: how they are cut, what a router sees, what is refused.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "gatewright/base/registry.h"
#include "gatewright/models/model.h"
#include "tests/support/refusal.h"

namespace gw::test::patch_mixer_cases {

std::shared_ptr<Model> network(Json options, int64_t height = 8, int64_t width = 12) {
  DataSpec data;
  data.channels = 2, data.height = height, data.width = width, data.classes = 3;
  options["width"] = 6;
  if (!options.contains("patch")) options["patch"] = 4;
  return make_part<Model>("patch_mixer", options, {data, {3, false}, 5});
}

Pass evaluation() {
  Pass pass;
  pass.train = false;
  return pass;
}

Json mixture(const Json& policy) {
  return {{"experts", 2}, {"policy", policy}, {"bank", {{"part", "mlp"}, {"hidden", 4}}}};
}

TEST(PatchMixer, EveryPatchDecidesAndNoImageSeesAnother) {
  const auto model = network({{"mixture", mixture({{"part", "softmax_top_k"}, {"k", 1}})}});
  const auto batch = model->example(5, Rng(1));
  const auto all = model->answer(batch, evaluation());
  EXPECT_EQ(all.answer.sizes(), (at::IntArrayRef{5, 3}));
  ASSERT_EQ(all.plans.size(), 1u);
  EXPECT_EQ(all.plans[0].plan.tokens, 5 * 2 * 3);
  Batch one;
  one.fields["image"] = batch.at("image").narrow(0, 3, 1);
  one.index = at::arange(1, at::kLong);
  EXPECT_TRUE(model->answer(one, evaluation()).answer.allclose(all.answer.narrow(0, 3, 1), 1e-5, 1e-6));
}

// Fails if patches are cut across each other: a change of one pixel may reach one token alone before mixing.
TEST(PatchMixer, APatchIsASquareOfPixels) {
  const auto model = network({{"mixture", mixture({{"part", "softmax_top_k"}, {"k", 1}})}});
  // With no mixing over patches, the gate's scores of a token depend on its own patch alone.
  const at::NoGradGuard no_grad;
  model->named_parameters()["mixing0"].zero_();
  auto batch = model->example(1, Rng(2));
  const auto before = model->answer(batch, evaluation()).plans[0].plan.scores.clone();
  auto image = batch.at("image").clone();
  image[0][1][5][9] += 1;  // the second row of patches, the third column: token 5
  batch.fields["image"] = image;
  const auto moved = (model->answer(batch, evaluation()).plans[0].plan.scores - before).abs().sum(1);
  for (int64_t t = 0; t < 6; ++t) EXPECT_EQ(moved[t].item<double>() > 1e-6, t == 5) << "token " << t;
}

// Sides that a patch does not divide are black beyond the edge: the same as an image that was padded before.
TEST(PatchMixer, EdgesAreBlack) {
  const Json options{{"patch", 5}, {"mixture", mixture({{"part", "softmax_top_k"}, {"k", 1}})}};
  const auto model = network(options), wide = network(options, 10, 15);
  auto batch = model->example(2, Rng(4));
  const auto narrow = model->answer(batch, evaluation());
  EXPECT_EQ(narrow.plans[0].plan.tokens, 2 * 2 * 3);
  batch.fields["image"] = at::constant_pad_nd(batch.fields["image"], {0, 3, 0, 2});
  EXPECT_TRUE(wide->answer(batch, evaluation()).answer.allclose(narrow.answer, 1e-5, 1e-6));
}

TEST(PatchMixer, EveryParameterLearns) {
  const auto model =
      network({{"depth", 2}, {"mixture", mixture({{"part", "sparse_transport"}, {"buffer", 1.5}})}});
  auto pass = evaluation();
  pass.train = true;
  const auto out = model->answer(model->example(8, Rng(3)), pass);
  out.answer.square().sum().backward();
  for (const auto& item : model->named_parameters())
    EXPECT_TRUE(item.value().grad().defined() && item.value().grad().abs().sum().item<double>() > 0)
        << item.key();
}

TEST(PatchMixer, RefusesWhatItCannotRead) {
  expect_part(refusal<ValueError>([] {
                make_part<Model>("patch_mixer", Json::object(), Model::Context{DataSpec{}, {3, false}, 1});
              }),
              "expected data with the field \"image\"");
  expect_part(refusal<ValueError>([] {
                network({{"mixture", {{"gate", "cnn"}}}});
              }),
              "expected a gate over tokens");
}

}  // namespace gw::test::patch_mixer_cases
