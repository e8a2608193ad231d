// The attack that knows how routes are chosen, against victims that only such an attack can beat.
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack.h"
#include "gatewright/train/robust/evaluate.h"
#include "tests/train/attack_victims.h"
#include "tests/train/small_run.h"

namespace gw::test::steered_attack_cases {

using gw::Json;

/// Expert 0 answers class 0 with a lead of 1, expert 1 class 1 with a lead of 3, whatever the image: no
/// answer has a gradient, and the route alone decides. Two scores, s_0 − s_1 = mean pixel − 0.4. Where they
/// differ by no more than `gap` both experts answer, and the average is class 1's.
struct ConstantPathways : Victim {
  double gap;
  explicit ConstantPathways(double g) : gap(g) {}
  at::Tensor scores(const at::Tensor& x) const {
    const auto lead = flat(x).mean(1) - 0.4;
    return at::stack({lead, at::zeros_like(lead)}, 1);
  }
  at::Tensor respond_forced(const at::Tensor& x, int64_t expert) override {
    const auto answer = expert == 0 ? at::tensor({1.f, 0.f}) : at::tensor({0.f, 3.f});
    return answer.expand({x.size(0), 2}) + 0 * flat(x).sum(1, true);
  }
  Response respond(const at::Tensor& x) override {
    const auto s = scores(x), lead = s.select(1, 0).unsqueeze(1);
    const auto share = at::where(lead.gt(gap), at::ones_like(lead),
                                 at::where(lead.lt(-gap), at::zeros_like(lead), at::full_like(lead, 0.5)));
    return {respond_forced(x, 0) * share.detach() + respond_forced(x, 1) * (1 - share.detach()), s};
  }
  int64_t experts() const override { return 2; }
  int64_t classes() const override { return 2; }
};

gw::AttackResult run(const std::string& name, double epsilon, Victim& victim) {
  const at::Tensor x = at::full({4, kChannels, kHeight, kWidth}, 0.5), y = at::zeros({4}, at::kLong);
  return gw::make_part<gw::Attack>(name, Json{{"steps", 10}}, {epsilon})->run(victim, x, y, gw::Rng(1));
}

// The clean lead is 0.1: an attack of radius 0.1 + gap changes the route, one of 0.1 − gap makes it unsure.
TEST(Steered, ChangesARouteThatNoAnswerLeadsTo) {
  ConstantPathways hard(0);
  EXPECT_FALSE(run("pgd", 0.12, hard).fooled.any().item<bool>());
  EXPECT_TRUE(run("steered", 0.12, hard).fooled.all().item<bool>());
  EXPECT_FALSE(run("steered", 0.09, hard).fooled.any().item<bool>()) << "no image of this ball is fooled";
}

TEST(Steered, NeedsToReachTheBorderAlone) {
  ConstantPathways unsure(0.04);
  EXPECT_FALSE(run("pgd", 0.08, unsure).fooled.any().item<bool>());
  EXPECT_TRUE(run("steered", 0.08, unsure).fooled.all().item<bool>());
  EXPECT_FALSE(run("steered", 0.05, unsure).fooled.any().item<bool>());
}

// What a trained network with the rule reports: pathways counted, and the threshold met on held-out images.
TEST(UnsureImages, MeetTheirShareAndAreCounted) {
  Scratch scratch;
  auto config = small_config(small_objective("adv_moe"));
  auto network = config.network.json();
  network["combine"] = "logits";
  network["policy"] = {{"part", "adaptive"}, {"gap", 0.0}, {"most", 0.34}, {"pair", "even"}};
  config.network = network;
  config.epochs = 4, config.average = 0.5, config.task = attacked_images({{"validation_steps", 0}});
  gw::Trainer trainer(config);
  gw::TrainObserver silent;
  trainer.run({scratch.path()}, silent);
  gw::EvaluationConfig evaluation;
  evaluation.attacks = {"steered", "pgd"};
  evaluation.attack_options = Json{{"steered", {{"steps", 4}}}, {"pgd", {{"steps", 4}}}};
  // The six images that validation held out are the last of each class: two may meet both.
  const auto split = gw::split_validation(trainer.data().train, 3, config.validation, 0);
  const auto held_out = gw::evaluate(trainer.network(), split.validation, evaluation, 0.1, gw::Rng(1));
  EXPECT_LE(held_out.pathways.at(gw::kClean), 1 + 0.34);
  EXPECT_GT(held_out.pathways.at(gw::kClean), 1);
  const auto test = gw::evaluate(trainer.network(), trainer.data().test, evaluation, 0.1, gw::Rng(1));
  EXPECT_EQ(test.pathways.size(), 3u);
  const auto json = gw::evaluation_json(test);
  EXPECT_EQ(json.at("pathways").at("clean"), test.pathways.at("clean"));
  // A checkpoint carries the threshold.
  const auto again = gw::make_network(config, trainer.data());
  const auto path = scratch.path() + "/" + gw::kBestCheckpoint;
  gw::load_model(*again, gw::load_checkpoint(path), path);
  again->eval();
  EXPECT_EQ(gw::evaluate(*again, split.validation, evaluation, 0.1, gw::Rng(1)).pathways, held_out.pathways);
}

}  // namespace gw::test::steered_attack_cases
