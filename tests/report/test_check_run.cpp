// A check whose arms train: one arm that diverges is a result, not the end of the others.
#include <gtest/gtest.h>

#include <fstream>

#include "gatewright/base/file.h"
#include "gatewright/report/report.h"
#include "gatewright/runs/check_run.h"
#include "gatewright/runs/run_data.h"
#include "gatewright/runs/run_directory.h"
#include "tests/runs/checked.h"

using namespace gw;
using namespace gw::test;

namespace gw::test::check_run_cases {

// The middle arm's weights grow a thousandfold with every step.
constexpr const char* kBody = R"(
title = "one arm diverges"
[paper]
title = "Arms that run away"
year = 2026
identifier = "made up"
[defaults]
data = { part = "synthetic", classes = 3, height = 8, width = 8, train = 60, test = 24 }
network = { backbone = "small_cnn", backbone_options = { width = 4 } }
objective = { part = "natural" }
optimizer = { part = "sgd", momentum = 0.0 }
schedule = { lr = 0.05 }
epochs = 3
batch = 16
task = { part = "image_classification", validation_steps = 1 }
[sizes.tiny]
seeds = [0, 1]
[arms.before]
[arms.wild.config]
schedule = { lr = 1e3, shape = "constant" }
optimizer = { weight_decay = 1e3 }
[arms.after]
[[marks]]
name = "it was measured"
metric = "clean_accuracy"
arm = "after"
at_least = 0.0
[[marks]]
name = "it was not"
metric = "clean_accuracy"
arm = "wild"
at_least = 0.0
of_paper = true
)";

TEST(CheckRun, AnArmThatDivergesIsNamedAndTheOthersGoOn) {
  const Scratch scratch;
  const auto outcome = check_in(scratch, kBody);
  ASSERT_EQ(outcome.failed.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(outcome.failed[i].arm, "wild");
    EXPECT_EQ(outcome.failed[i].seed, static_cast<int64_t>(i));
    EXPECT_NE(outcome.failed[i].why.find("stopped at step "), std::string::npos) << outcome.failed[i].why;
  }
  ASSERT_EQ(outcome.results.size(), 4u);  // before and after, two seeds
  ASSERT_EQ(outcome.marks.size(), 2u);
  EXPECT_TRUE(outcome.marks[0].holds);
  EXPECT_EQ(outcome.marks[0].seeds, 2u);
  EXPECT_EQ(verdict_text(outcome.marks[1]), "not measured");
  EXPECT_FALSE(outcome.holds()) << "every mark of ours holds, but two runs have no result";

  const auto rows = read_json(scratch / "out/check.json").at("rows");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].at("mark"), "wild, seed 0");
  EXPECT_EQ(rows[0].at("measured"), "diverged");
  EXPECT_EQ(rows[0].at("verdict"), "fail");
  EXPECT_NE(render_report({scratch / "out"}).find("wild, seed 1"), std::string::npos);
}

TEST(CheckRun, ThePaperAndTheTitlesReachThePageOfARealRun) {
  const Scratch scratch;
  check_in(scratch, kBody, {"after"});
  for (const char* page : {"out", "out/after-seed0"}) {
    const auto html = render_report({scratch / page});
    EXPECT_NE(html.find("Arms that run away (2026), made up"), std::string::npos) << page;
    EXPECT_NE(html.find("one arm diverges"), std::string::npos) << page;
  }
}

TEST(CheckRun, MarksOfOtherSizesAreMeasuredAndNotJudged) {
  const Scratch scratch;
  std::ofstream(scratch / "r.toml") << kBody << "sizes = [\"paper\"]\n[sizes.paper]\nseeds = [0]\n";
  ArmRun run{scratch / "out", false, nullptr, nullptr, [] { return 0.0; }, [] { return 0.0; }};
  run.timing_rounds = 0;
  const auto outcome =
      run_check(load_recipe(scratch / "r.toml", {}),
                {"tiny", {"before", "after"}, {0}, {}, "command", "machine", "2026-01-01"}, run);
  ASSERT_EQ(outcome.marks.size(), 1u);
  EXPECT_EQ(seeds_text(outcome.marks[0]), "one seed");
  ASSERT_EQ(outcome.unjudged.size(), 1u);
  const auto document = read_json(scratch / "out/check.json");
  ASSERT_EQ(document.at("rows").size(), 2u);
  EXPECT_EQ(document["rows"][0].at("spread"), "one seed");
  EXPECT_EQ(document["rows"][1].at("verdict"), "not judged");
  EXPECT_EQ(document["arms"][0].at("title"), "after");  // no title in the recipe: the arm's key
}

TEST(CheckRun, HoldsWithoutTheArmThatDiverges) {
  const Scratch scratch;
  const auto outcome = check_in(scratch, kBody, {"before", "after"});
  EXPECT_TRUE(outcome.failed.empty());
  EXPECT_TRUE(outcome.holds());
}

// Pictures have one or three channels; networks any number.
TEST(CheckRun, ImagesOfTwoChannelsEndWithAPageWithoutSamples) {
  const Scratch scratch;
  std::ofstream(scratch / "r.toml") << R"(
title = "two channels"
[defaults]
data = { part = "synthetic", channels = 2, classes = 3, height = 8, width = 8, train = 60, test = 24 }
network = { backbone = "small_cnn", backbone_options = { width = 4 } }
objective = { part = "natural" }
epochs = 1
batch = 16
task = { part = "image_classification", validation_steps = 1 }
[sizes.tiny]
seeds = [0]
[arms.dense]
[arms.routed.config]
network = { experts = 2, gate = { part = "cnn", width = 2 } }
routes = { record = true }
)";
  ArmRun run{scratch / "out", false, nullptr, nullptr, [] { return 0.0; }, [] { return 0.0; }};
  run.timing_rounds = 0;
  const auto outcome = run_check(load_recipe(scratch / "r.toml", {}),
                                 {"tiny", {}, {}, {}, "the command", "a machine", "2026-01-01"}, run);
  EXPECT_EQ(outcome.results.size(), 2u);
  const auto html = render_report({scratch / "out"});
  EXPECT_NE(html.find("Images of 2 channels are not drawn"), std::string::npos);
  EXPECT_EQ(html.find("<img"), std::string::npos);
  // The class maps of a recorded run stand once, among the recorded routes.
  EXPECT_EQ(html.find("<strong>Experts by class, clean"), std::string::npos);
  EXPECT_NE(html.find("experts by class, clean</strong>"), std::string::npos);
  // The page of one run alone says where it comes from.
  const auto one = render_report({scratch / "out/routed-seed0"});
  EXPECT_NE(one.find("<h1>two channels</h1>"), std::string::npos);
  EXPECT_NE(one.find("<code>the command</code>"), std::string::npos);
  EXPECT_NE(one.find("<dd>a machine</dd>"), std::string::npos);
}

}  // namespace gw::test::check_run_cases
