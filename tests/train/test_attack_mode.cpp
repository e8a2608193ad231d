// The mode in which networks are attacked and left, and options of an ensemble's members.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/registry.h"
#include "ops/random.h"
#include "train/attack.h"
#include "train/attack_victims.h"
#include "train/network_victim.h"
#include "train/trades.h"

namespace {

gw::NetworkOptions options() {
  gw::NetworkOptions o;
  o.backbone = "small_cnn", o.experts = 2, o.backbone_options = R"({"width":4})";
  return o;
}

TEST(AttackMode, ANetworkInTrainingModeIsRefused) {
  gw::Network network(options(), 3, 16, 16, 4);
  gw::NetworkVictim victim(network);
  const auto x = gw::ops::uniform(gw::Rng(1), {2, 3, 16, 16}, 0, 1);
  EXPECT_THROW(victim.respond(x), gw::ValueError);
  EXPECT_THROW(victim.respond_forced(x, 0), gw::ValueError);
  network.eval();
  EXPECT_NO_THROW(victim.respond(x));
}

TEST(AttackMode, AnEvaluationScopeRestoresWhatWas) {
  gw::Network network(options(), 3, 16, 16, 4);
  for (const bool training : {true, false}) {
    network.train(training);
    { const gw::EvaluationScope scope(network); }
    EXPECT_EQ(network.is_training(), training);
  }
}

TEST(EnsembleOptions, OptionsOfOneMemberLeaveTheDefaultsOfAnother) {
  gw::testing::LinearVictim victim(12, 3);
  const auto x = gw::testing::some_images(4, 3);
  const auto y = victim.respond(x).logits.argmax(1);
  const auto passes = [&](const gw::Json& given) {
    return gw::make_part<gw::Attack>("ensemble", given, {/*epsilon=*/1e-6})->run(victim, x, y, gw::Rng(1)).queries;
  };
  const gw::Json attacks = {"apgd_dlr"}, ten = {{"steps", 10}}, ten_of_nine = {{"steps", 10}, {"targets", 9}};
  EXPECT_EQ(passes({{"attacks", attacks}, {"options", {{"apgd_dlr", ten}}}}),
            passes({{"attacks", attacks}, {"options", {{"apgd_dlr", ten_of_nine}}}}));
  EXPECT_NO_THROW(passes({{"attacks", {"square"}}, {"options", {{"square", {{"queries", 5}}}}}}));
}

}  // namespace
