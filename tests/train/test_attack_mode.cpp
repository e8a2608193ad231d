// The mode in which networks are attacked and left, and options of an ensemble's members.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/robust/attack.h"
#include "gatewright/train/robust/network_victim.h"
#include "gatewright/train/robust/trades.h"
#include "tests/train/attack_victims.h"

namespace gw::test::attack_mode_cases {

gw::NetworkOptions options() {
  gw::NetworkOptions o;
  o.backbone = "small_cnn", o.experts = 2, o.backbone_options = Json{{"width", 4}};
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
  gw::test::LinearVictim victim(12, 3);
  const auto x = gw::test::some_images(4, 3);
  const auto y = victim.respond(x).logits.argmax(1);
  const auto passes = [&](const gw::Json& given) {
    return gw::make_part<gw::Attack>("ensemble", given, {/*epsilon=*/1e-6})
        ->run(victim, x, y, gw::Rng(1))
        .queries;
  };
  const gw::Json attacks = {"apgd_dlr"}, ten = {{"steps", 10}}, ten_of_nine = {{"steps", 10}, {"targets", 9}};
  EXPECT_EQ(passes({{"attacks", attacks}, {"options", {{"apgd_dlr", ten}}}}),
            passes({{"attacks", attacks}, {"options", {{"apgd_dlr", ten_of_nine}}}}));
  EXPECT_NO_THROW(passes({{"attacks", {"square"}}, {"options", {{"square", {{"queries", 5}}}}}}));
}

// The targeted ratio needs four classes, the other one three: said before the members ahead of it have worked
// for minutes.
TEST(EnsembleOptions, TooFewClassesAreRefusedBeforeWorkWithTheRemedy) {
  for (const int64_t classes : {2, 3}) {
    struct Counted : gw::test::LinearVictim {
      using LinearVictim::LinearVictim;
      int passes = 0;
      Response respond(const at::Tensor& x) override {
        ++passes;
        return LinearVictim::respond(x);
      }
    } victim(classes, 3);
    const auto x = gw::test::some_images(4, 3);
    const auto y = victim.respond(x).logits.argmax(1);
    victim.passes = 0;
    const auto message = [&](const gw::Json& given) -> std::string {
      try {
        gw::make_part<gw::Attack>("ensemble", given, {/*epsilon=*/1e-6})->run(victim, x, y, gw::Rng(1));
      } catch (const gw::ValueError& error) {
        return error.what();
      }
      return "";
    };
    const auto text = message(gw::Json::object());
    EXPECT_NE(text.find("at least 4 classes for apgd_dlr"), std::string::npos) << text;
    EXPECT_NE(text.find("leave apgd_dlr out of \"attacks\""), std::string::npos) << text;
    EXPECT_EQ(victim.passes, 0);
    const gw::Json quick{{"apgd_dlr", {{"targets", 0}, {"steps", 2}}}};
    EXPECT_EQ(message({{"attacks", {"apgd_dlr"}}, {"options", quick}}).empty(), classes == 3);
    EXPECT_EQ(message({{"attacks", {"square"}}, {"options", {{"square", {{"queries", 5}}}}}}), "");
  }
}

}  // namespace gw::test::attack_mode_cases
