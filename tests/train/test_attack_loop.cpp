#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/train/robust/apgd.h"
#include "tests/train/attack_victims.h"

namespace gw::test::attack_loop_cases {

TEST(AttackLoop, ProjectsOnTheBallFirstThenOnTheBox) {
  const at::Tensor x = at::tensor({0.05f, 0.5f, 0.95f, 0.0f}).view({1, 1, 1, 4});
  const at::Tensor far = at::tensor({-1.0f, 0.55f, 9.0f, 0.2f}).view({1, 1, 1, 4});
  const at::Tensor expected = at::tensor({0.0f, 0.55f, 1.0f, 0.1f}).view({1, 1, 1, 4});
  EXPECT_TRUE(at::allclose(gw::project(far, x, 0.1), expected));
  EXPECT_TRUE(at::equal(gw::project(far, x, 0), x));
}

TEST(AttackLoop, LossesHaveTheirPublishedValues) {
  const at::Tensor z = at::tensor({1.f, 2.f, 4.f, 7.f}).view({1, 4}), y = at::tensor({int64_t{3}}),
                   t = at::tensor({int64_t{0}});
  EXPECT_NEAR(gw::margin_loss(z, y).item<double>(), -3, 1e-6);
  EXPECT_NEAR(gw::dlr_loss(z, y).item<double>(), -3.0 / 5.0, 1e-6);
  EXPECT_NEAR(gw::dlr_loss(z, t).item<double>(), 6.0 / 5.0, 1e-6);
  EXPECT_NEAR(gw::targeted_dlr_loss(z, y, t).item<double>(), -6.0 / 5.5, 1e-6);
  EXPECT_NEAR(gw::cross_entropy(z, y).item<double>(),
              std::log(std::exp(-6.) + std::exp(-5.) + std::exp(-3.) + 1), 1e-6);
  const at::Tensor p = at::tensor({0.f, 0.f}).view({1, 2}), q = at::tensor({0.f, std::log(3.f)}).view({1, 2});
  EXPECT_NEAR(gw::kl_divergence(p, q).item<double>(), 0.5 * std::log(0.5 / 0.25) + 0.5 * std::log(0.5 / 0.75),
              1e-6);
  EXPECT_THROW(gw::dlr_loss(p, t), gw::ValueError);
  EXPECT_THROW(gw::targeted_dlr_loss(z.narrow(1, 0, 3), t, t), gw::ValueError);
}

TEST(AttackLoop, GradientIsTheObjectivesAndLeavesParametersAlone) {
  LinearVictim victim(4, 1);
  const at::Tensor x = some_images(3, 2), cotangent = at::arange(12).view({3, 4}).to(at::kFloat);
  at::NoGradGuard callers_guard;
  const auto found = gw::image_gradient(
      x, [&](const at::Tensor& images) { return (victim.respond(images).logits * cotangent).sum(); });
  EXPECT_TRUE(at::allclose(flat(found.gradient), at::matmul(cotangent, victim.weight.t()), 1e-5, 1e-5));
  EXPECT_FALSE(victim.weight.grad().defined());
  EXPECT_FALSE(found.gradient.requires_grad());
}

TEST(AttackLoop, RefusesConstantsAndNaN) {
  const at::Tensor x = some_images(2, 1);
  EXPECT_THROW(gw::image_gradient(x, [](const at::Tensor&) { return at::zeros({}); }), gw::ValueError);
  const at::Tensor other = at::ones({}).requires_grad_(true);
  EXPECT_THROW(gw::image_gradient(x, [&](const at::Tensor&) { return other * 2; }), gw::ValueError);
  EXPECT_THROW(gw::image_gradient(x, [](const at::Tensor& images) { return (images * 0).sqrt().sum(); }),
               gw::NumericError);
}

// The inner maximisation of TRADES: from a tiny normal start, the divergence from the clean answer must grow,
// for any objective.
TEST(AttackLoop, PerturbRaisesADivergence) {
  MlpVictim victim(32, 6, 5);
  const at::Tensor x = some_images(16, 3, 0.2, 0.8), clean = victim.respond(x).logits;
  const at::Tensor start = x + gw::ops::normal(gw::Rng(1), x.sizes(), 0, 0.001);
  const auto divergence = [&](const at::Tensor& images) {
    return gw::kl_divergence(clean, victim.respond(images).logits).sum();
  };
  const at::Tensor found = gw::perturb(start, x, 2, 5.0 / 255, 8.0 / 255, divergence);
  EXPECT_GT(divergence(found).item<double>(), 10 * divergence(start).item<double>());
  EXPECT_LE((found - x).abs().max().item<double>(), 8.0 / 255 + 1e-6);
  EXPECT_TRUE(at::equal(gw::perturb(x, x, 0, 0.1, 0.1, divergence), x));
}

TEST(AttackLoop, RandomStartBelongsToTheImage) {
  const at::Tensor x = some_images(6, 4, 0.2, 0.8);  // away from the edges: the box clips no noise
  const at::Tensor whole = gw::random_start(gw::Rng(9), x, 0.1);
  const at::Tensor order = at::tensor({int64_t{5}, int64_t{0}, int64_t{3}});
  EXPECT_TRUE(
      at::equal(gw::random_start(gw::Rng(9), x.index_select(0, order), 0.1), whole.index_select(0, order)));
  EXPECT_TRUE(
      at::equal(gw::random_start(gw::Rng(9), x.contiguous(at::MemoryFormat::ChannelsLast), 0.1), whole));
  EXPECT_FALSE(at::equal(gw::random_start(gw::Rng(8), x, 0.1), whole));
  EXPECT_FALSE(at::allclose(whole[0] - x[0], whole[1] - x[1], 0, 1e-3));
}

TEST(AttackLoop, NoiseIsUniformInTheBall) {
  const at::Tensor x = some_images(500, 4, 0.4, 0.6), noise = gw::random_start(gw::Rng(9), x, 0.1) - x;
  EXPECT_NEAR(noise.mean().item<double>(), 0, 0.0014);  // 4 standard errors: 0.1/√3/√30000 · 4
  EXPECT_NEAR(noise.pow(2).mean().item<double>(), 0.01 / 3, 7e-5);  // 4 standard errors of a uniform's square
  EXPECT_GT(noise.abs().max().item<double>(), 0.0999);
}

TEST(AttackLoop, KeepsTheWorst) {
  const auto row = [](std::vector<float> v) { return at::tensor(v); };
  const at::Tensor old = at::zeros({5, 1, 1, 1}), fresh = at::ones({5, 1, 1, 1});
  gw::Candidates worst{old, row({1, 1, 5, 1, 2}), row({-1, -1, -1, 1, 1})};
  gw::keep_worst(worst, {fresh, row({2, 0, 1, 9, 2}), row({-1, -1, 1, -1, 1})});
  // larger loss; smaller loss; reached with less loss; not reached with more loss; tie
  EXPECT_TRUE(at::equal(worst.images.view(-1), row({1, 0, 1, 0, 0})));
  EXPECT_TRUE(at::equal(worst.loss, row({2, 1, 1, 1, 2})));
  EXPECT_TRUE(at::equal(worst.margin, row({-1, -1, 1, 1, 1})));
  EXPECT_TRUE(at::equal(gw::unreached_rows(worst.margin), at::tensor({int64_t{0}, int64_t{1}})));
  gw::keep_worst_rows(worst, at::tensor({int64_t{1}, int64_t{4}}),
                      {fresh.narrow(0, 0, 2) * 7, row({3, 1}), row({-1, 1})});
  EXPECT_TRUE(at::equal(worst.images.view(-1), row({1, 7, 1, 0, 0})));
}

TEST(Apgd, CheckpointsAreThePublishedOnes) {
  EXPECT_EQ(gw::apgd_checkpoints(100), (std::vector<int64_t>{22, 41, 57, 70, 80, 87, 93, 99}));
  EXPECT_EQ(gw::apgd_checkpoints(10), (std::vector<int64_t>{3, 5, 6, 7, 8, 9}));
  EXPECT_TRUE(gw::apgd_checkpoints(1).empty());
}

// On a concave quadratic with its peak inside the ball, steps of a fixed length oscillate around the peak;
// halving must close in.
TEST(Apgd, HalvesItsStepNearAPeak) {
  const at::Tensor x = at::full({4, 1, 3, 3}, 0.5),
                   peak = x + gw::ops::uniform(gw::Rng(2), x.sizes(), -0.05, 0.05);
  const gw::SampleObjective objective = [&](const at::Tensor& images) {
    const at::Tensor loss = -(images - peak).pow(2).flatten(1).sum(1);
    return gw::Candidates{{}, loss, at::full({images.size(0)}, -1.f)};
  };
  const auto found = gw::apgd(objective, x, x, 0.1, 100);
  EXPECT_LT((found.images - peak).abs().max().item<double>(), 0.005);  // 2 ε / 2^5 and below
  const auto total = [&](const at::Tensor& images) { return objective(images).loss.sum(); };
  EXPECT_GT((gw::perturb(x, x, 100, 0.025, 0.1, total) - peak).abs().max().item<double>(), 0.01);
}

}  // namespace gw::test::attack_loop_cases
