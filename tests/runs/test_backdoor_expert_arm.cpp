// The arm that finds triggered inputs: what it starts from, what it leaves, when its expert stops.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/runs/checked.h"
#include "tests/support/refusal.h"

namespace gw::test::backdoor_expert_arm_cases {

constexpr const char* kBody = R"(
title = "triggered inputs"
[defaults]
data = { part = "synthetic", classes = 3, height = 8, width = 8, train = 300, test = 240, noise = 0.1 }
transforms = [{ part = "patch_poison", share = 0.1, size = 2 }]
network = { backbone = "small_cnn", backbone_options = { width = 4 } }
objective = { part = "natural" }
task = { part = "classification" }
optimizer = { part = "adam" }
schedule = { lr = 0.02 }
epochs = 4
batch = 16
[sizes.tiny]
[arms.poisoned]
[arms.found]
kind = "backdoor_expert"
from = "poisoned"
[arms.found.config]
backdoor_expert = { clean = 60, calibration = 80, false_positives = 0.05, stop = 0.5, check_steps = 1, unlearn = { schedule = { shape = "constant", lr = 0.003 }, epochs = 30, batch = 32 }, recover = { schedule = { shape = "constant", lr = 0.003 }, epochs = 3, batch = 32 } }
)";

std::string replaced(std::string text, const std::string& old, const std::string& now) {
  return text.replace(text.find(old), old.size(), now);
}

std::string refused(const std::string& old, const std::string& now) {
  const Scratch scratch;
  return refusal<ValueError>([&] { check_in(scratch, replaced(kBody, old, now)); });
}

TEST(BackdoorExpertArm, StopsItsExpertAndMeasuresOnTheRest) {
  const Scratch scratch;
  const auto outcome = check_in(scratch, kBody);
  ASSERT_TRUE(outcome.failed.empty()) << outcome.failed.front().why;
  const auto &trained = outcome.results[0].metrics, &found = outcome.results[1].metrics;
  EXPECT_GT(trained.at("attack_success"), 0.5) << "nothing to defend against";
  const auto& curve = outcome.results[1].curves.at("unlearning.clean_accuracy");
  ASSERT_GE(curve.y.size(), 2u);
  EXPECT_LT(curve.y.back(), 0.5);
  EXPECT_EQ(curve.x.back(), found.at("expert_steps"));
  for (size_t i = 0; i + 1 < curve.y.size(); ++i) EXPECT_GE(curve.y[i], 0.5) << "stopped late";
  const double images = found.at("clean_accuracy") * 100;  // 240 - 60 - 80
  EXPECT_NEAR(images, std::round(images), 1e-9) << "not of 100 images";
  EXPECT_LE(found.at("clean_accuracy_filtered"), found.at("clean_accuracy"));
  EXPECT_LE(found.at("attack_success_filtered"), found.at("attack_success"));
  const auto again = check_in(scratch, kBody);
  EXPECT_EQ(again.results[1].metrics, found) << "read, not run again";
  EXPECT_EQ(again.results[1].curves.at("unlearning.clean_accuracy").y, curve.y);
  std::filesystem::remove_all(scratch / "out/found-seed0");
  EXPECT_EQ(check_in(scratch, kBody).results[1].metrics, found) << "a function of the seed";
}

TEST(BackdoorExpertArm, RefusesWhatItCannotWorkWith) {
  const std::string needs = "expected a training on poisoned data for arm \"found\" to start from";
  expect_part(refused("transforms = [{ part = \"patch_poison\", share = 0.1, size = 2 }]\n", ""), needs);
  expect_part(refused("from = \"poisoned\"", ""), "to start from, got 0 arms");
  expect_part(refused("from = \"poisoned\"", "from = \"twice\""), "twice");
  expect_part(refused("clean = 60", "clean = 0"), "clean");
  expect_part(refused("clean = 60", "claen = 60"), "did you mean \"clean\"?");
  expect_part(refused("share = 0.1", "share = 1.0"), "expected a share between 0 and 1");
  const auto fails = [](const std::string& old, const std::string& now) {
    const Scratch scratch;
    const auto outcome = check_in(scratch, replaced(kBody, old, now));
    return outcome.failed.empty() ? std::string("accepted") : outcome.failed.front().why;
  };
  expect_part(fails("clean = 60", "clean = 160"), "expected test images left to measure on");
  expect_part(fails("false_positives = 0.05", "false_positives = 0.001"),
              "expected at least 1000 clean scores");
}

TEST(Probes, ATrainingOnPoisonedDataSaysHowOftenTheAttackWins) {
  const Scratch scratch;
  const auto marked =
      std::string(kBody) +
      "[[marks]]\nname = \"attack\"\nmetric = \"attack_success\"\narm = \"poisoned\"\nat_least "
      "= 0.0\n";
  const auto outcome = check_in(scratch, marked, {"poisoned"});
  ASSERT_EQ(outcome.marks.size(), 1u);
  EXPECT_TRUE(outcome.marks[0].holds);
  const auto clean =
      replaced(marked, "transforms = [{ part = \"patch_poison\", share = 0.1, size = 2 }]\n", "");
  expect_part(refusal<ValueError>([&] { check_in(scratch, clean, {"poisoned"}, {}, "other"); }),
              "attack_success");
}

}  // namespace gw::test::backdoor_expert_arm_cases
