// Groups of labels that one arm finds and another trains with.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "gatewright/base/error.h"
#include "gatewright/runs/group_source.h"
#include "tests/runs/checked.h"
#include "tests/support/refusal.h"

namespace gw::test::label_groups_arm_cases {

constexpr const char* kBody = R"(
title = "groups from a network"
[defaults]
data = { part = "synthetic", classes = 4, height = 8, width = 8, train = 80, test = 24 }
network = { backbone = "small_cnn", backbone_options = { width = 4 }, gate = { part = "cnn", arch = "small", width = 2 } }
objective = { part = "trades", steps = 1 }
schedule = { lr = 0.05 }
epochs = 1
batch = 16
validation = 0.25
task = { part = "image_classification", validation_steps = 1 }
[sizes.tiny]
[arms.dense]
[arms.find]
kind = "label_groups"
from = "dense"
[arms.find.config]
label_groups = { count = 2, slack = 0 }
[arms.moe]
from = "find"
[arms.moe.config]
network = { experts = 2, ratio = 0.5 }
objective = { part = "adv_moe", steps = 1, router_target = "groups", groups = "from" }
)";

std::string refused(std::string text, const std::string& old, const std::string& now) {
  const Scratch scratch;
  text.replace(text.find(old), old.size(), now);
  return refusal<ValueError>([&] { check_in(scratch, text); });
}

TEST(LabelGroupsArm, ItsGroupsAreThoseThatTheNextArmTrainsWith) {
  const Scratch scratch;
  const auto outcome = check_in(scratch, kBody);
  ASSERT_TRUE(outcome.failed.empty());
  ASSERT_EQ(outcome.results.size(), 3u);
  const auto& found = outcome.results[1];
  const auto& confusion = found.tables.at("confusion").values;
  double images = 0, right = 0;
  for (size_t i = 0; i < 4; ++i) {
    right += confusion[i][i];
    for (const double count : confusion[i]) images += count;
  }
  EXPECT_EQ(images, 20);  // a quarter of 80, held out
  EXPECT_DOUBLE_EQ(found.metrics.at("robust_accuracy"), right / images);
  const auto groups = read_groups(scratch / "out/find-seed0");
  ASSERT_TRUE(groups.has_value());
  ASSERT_EQ(groups->size(), 2u);
  EXPECT_EQ((*groups)[0].size(), 2u);
  EXPECT_EQ((*groups)[0][0], 0);
  const auto trained = read_json(scratch / "out/moe-seed0/recipe.json");
  EXPECT_EQ(trained.at("objective").at("groups").get<LabelGroups>(), *groups);
  // Finished runs are read; the groups of a run that was lost are found again and are the same.
  std::filesystem::remove_all(scratch / "out/find-seed0");
  EXPECT_EQ(check_in(scratch, kBody).results[1].metrics, found.metrics);
  EXPECT_EQ(read_groups(scratch / "out/find-seed0"), groups);
}

TEST(LabelGroupsArm, RefusesWhatCannotGiveOrTakeGroups) {
  const std::string body = kBody;
  expect_part(refused(body, "[arms.moe]\nfrom = \"find\"", "[arms.moe]"),
              "expected groups = \"from\" in the objective of arm \"moe\" and one arm that leaves groups");
  expect_part(refused(body, "groups = \"from\"", "groups = [[0, 1], [2, 3]]"), "or neither, got 1 such arms");
  expect_part(refused(body, "kind = \"label_groups\"\nfrom = \"dense\"", "kind = \"label_groups\""),
              "arms/label_groups: expected one training for arm \"find\" to start from, got 0 arms");
  expect_part(refused(body, "slack = 0", "slak = 0"), "did you mean \"slack\"?");
  expect_part(refused(body, "slack = 0", "attack = { part = \"pdg\" }"), "did you mean \"pgd\"?");
}

TEST(LabelGroupsArm, RefusesADamagedTable) {
  const Scratch scratch;
  std::filesystem::create_directories(scratch / "run");
  const auto refused_values = [&](std::vector<std::vector<double>> values) {
    std::vector<std::string> names(values.size(), "x");
    Results results;
    results.tables[kGroupsTable] = {"label", {"group"}, names, std::move(values)};
    write_file(scratch / "run/results.json", to_json(results).dump());
    return refusal<ValueError>([&] { read_groups(scratch / "run"); });
  };
  EXPECT_EQ(refused_values({{0}, {1}, {0}}), "accepted");
  expect_part(refused_values({{0}, {1.5}}), "expected the number of a group for label 1");
  expect_part(refused_values({{0}, {2}}), "got none in group 1");
}

}  // namespace gw::test::label_groups_arm_cases
