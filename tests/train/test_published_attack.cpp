// The published evaluation of hard routes: what passes through the choice of experts, and what it hides.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack.h"
#include "gatewright/train/robust/attack_loop.h"
#include "gatewright/train/robust/network_victim.h"
#include "tests/train/attack_victims.h"

namespace gw::test::published_attack_cases {

gw::AttackResult run(const std::string& name, const gw::Json& options, gw::Victim& victim,
                     const at::Tensor& x, const at::Tensor& y, double epsilon = 0.1) {
  return gw::make_part<gw::Attack>(name, options, {epsilon})->run(victim, x, y, gw::Rng(1));
}

gw::NetworkOptions network_options(int64_t experts) {
  gw::NetworkOptions o;
  o.backbone = "small_cnn", o.experts = experts, o.ratio = experts > 1 ? 0.5 : 1.0;
  o.backbone_options = gw::Json{{"width", 4}};
  o.gate = gw::Json{{"part", "cnn"}, {"arch", "small"}, {"width", 4}};
  return o;
}

/// d cross-entropy / d images of one answer, with or without the gradient through the choice.
at::Tensor gradient(gw::Victim& victim, const at::Tensor& x, const at::Tensor& y, bool through) {
  return gw::image_gradient(x,
                            [&](const at::Tensor& images) {
                              const auto out =
                                  through ? victim.respond_through_choice(images) : victim.respond(images);
                              return gw::cross_entropy(out.logits, y).sum();
                            })
      .gradient;
}

// Breaks if `published` were `joint` under another name, or if the victim ignored the wish for the gradient
// through the choice.
TEST(PublishedAttack, TakesTheGradientThroughTheChoice) {
  gw::Network network(network_options(2), 3, 16, 16, 4);
  network.eval();
  gw::NetworkVictim victim(network);
  const auto x = gw::ops::uniform(gw::Rng(3), {12, 3, 16, 16}, 0.2, 0.8);
  const auto y = answers(victim, x);
  EXPECT_TRUE(at::equal(victim.respond(x).logits, victim.respond_through_choice(x).logits));
  const auto own = gradient(victim, x, y, false), with = gradient(victim, x, y, true);
  EXPECT_GT((with - own).abs().max().item<double>(), 0);
  const gw::Json steps{{"steps", 5}, {"step_size", 0.025}};
  const auto published = run("published", steps, victim, x, y), joint = run("joint", steps, victim, x, y);
  EXPECT_FALSE(at::equal(published.images, joint.images));
  EXPECT_EQ(published.queries, joint.queries);
  for (const auto& parameter : network.parameters()) EXPECT_FALSE(parameter.grad().defined());
}

// Without a choice nothing passes through it: the same images as PGD, bit for bit, and no label loss of a
// router that is not there.
TEST(PublishedAttack, OnANetworkWithoutRoutesIsPgd) {
  gw::Network network(network_options(1), 3, 16, 16, 4);
  network.eval();
  gw::NetworkVictim dense(network);
  const auto x = gw::ops::uniform(gw::Rng(3), {6, 3, 16, 16}, 0, 1);
  const gw::Json steps{{"steps", 5}, {"step_size", 0.025}, {"restarts", 2}};
  const auto y = answers(dense, x);
  EXPECT_TRUE(at::equal(run("published", steps, dense, x, y).images, run("pgd", steps, dense, x, y).images));
  MlpVictim mlp(16, 5, 7);
  const auto small = some_images(9, 11), labels = answers(mlp, small);
  EXPECT_TRUE(at::equal(run("published", steps, mlp, small, labels).images,
                        run("pgd", steps, mlp, small, labels).images));
}

/// Two experts that answer alike, each with a slope of its own along `direction`; the chosen one's answer is
/// multiplied by a weight of one whose gradient is that of its score, as a straight-through choice does it.
struct SteepRouter : Victim {
  at::Tensor direction, steep;  // [pixels] each
  double slope;
  SteepRouter(at::Tensor d, at::Tensor s, double k)
      : direction(std::move(d)), steep(std::move(s)), slope(k) {}
  at::Tensor logits(const at::Tensor& x) const {
    const at::Tensor along = at::matmul(flat(x) - 0.5, direction);
    return at::stack({1 - along, along - 1}, 1);
  }
  at::Tensor scores(const at::Tensor& x) const {
    const at::Tensor s =
        slope * at::matmul(flat(x) - 0.5, steep) + 100 * slope;  // expert 0, far from a change
    return at::stack({s, at::zeros_like(s)}, 1);
  }
  Response respond(const at::Tensor& x) override { return {logits(x), scores(x)}; }
  Response respond_through_choice(const at::Tensor& x) override {
    const at::Tensor s = scores(x), best = s.select(1, 0).unsqueeze(1);
    return {logits(x) * (1 + best - best.detach()), s};
  }
  at::Tensor respond_forced(const at::Tensor& x, int64_t) override { return logits(x); }
  int64_t experts() const override { return 2; }
  int64_t classes() const override { return 2; }
};

// The effect that the part is there to show: no step can change the route, the pathway is easily fooled, and
// the gradient through the choice hides it. `joint` and `pgd` find it.
TEST(PublishedAttack, LeavesStandingWhatJointAndPgdFool) {
  const auto direction = gw::ops::normal(gw::Rng(4), {kPixels}, 0, 1).sign();
  const auto steep = gw::ops::normal(gw::Rng(5), {kPixels}, 0, 1).sign();
  SteepRouter victim(direction, steep, 50);
  const auto x = at::full({4, kChannels, kHeight, kWidth}, 0.5), y = at::zeros({4}, at::kLong);
  const gw::Json steps{{"step_size", 0.025}, {"random_start", false}};
  gw::Json answer_alone = steps;
  answer_alone["router_weight"] = 0;
  for (const char* name : {"joint", "pgd"}) {
    const auto result = run(name, std::string(name) == "pgd" ? steps : answer_alone, victim, x, y);
    EXPECT_TRUE(result.fooled.all().item<bool>()) << name;
    EXPECT_FALSE(result.flipped.any().item<bool>()) << name;
  }
  EXPECT_FALSE(run("published", answer_alone, victim, x, y).fooled.any().item<bool>());
  EXPECT_FALSE(run("published", steps, victim, x, y).fooled.any().item<bool>());
}

}  // namespace gw::test::published_attack_cases
