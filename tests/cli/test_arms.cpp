// Arms that start from other arms, from outside.
#include <gtest/gtest.h>

#include <filesystem>

#include "gatewright/base/json.h"
#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace {

namespace fs = std::filesystem;
using gw::Json;
using gw::test::cli;
using gw::test::expect;
using gw::test::read_file;
using gw::test::Scratch;
using gw::test::shell;

std::string check(const Scratch& scratch, const std::string& more = "") {
  return "check continued --size tiny --quiet --threads 1 --out " + (scratch / "out") + " " + more;
}

TEST(ContinuedRecipe, HoldsAndIsReadTheSecondTime) {
  const Scratch scratch;
  const auto answer = cli(check(scratch));
  for (const char* part : {"longer < short", "not worse than at_once by more than 5 points", "95 % sure",
                           "accuracy %", "cross entropy", "800 more from there", "report: "})
    expect(answer, 0, part);
  EXPECT_EQ(answer.text.find("fail"), std::string::npos) << answer.text;
  const auto written = fs::last_write_time(scratch / "out/longer-seed4/metrics.json");
  expect(cli(check(scratch)), 0, "longer < short");
  EXPECT_EQ(fs::last_write_time(scratch / "out/longer-seed4/metrics.json"), written);
  const auto start = Json::parse(read_file(scratch / "out/longer-seed4/recipe.json")).at("start");
  EXPECT_NE(start.at("checkpoint").get<std::string>().find("short-seed4/best.safetensors"),
            std::string::npos);
}

TEST(ContinuedRecipe, OneSeedIsNotJudgedWhereAnIntervalIsNeeded) {
  const Scratch scratch;
  const auto answer = cli(check(scratch, "--seeds 0"));
  expect(answer, 0, "not judged: 1 seed; a t interval needs 2");
  expect(cli(check(scratch, "--seeds 0 --json")), 0, "\"note\": \"1 seed; a t interval needs 2\"");
}

TEST(ContinuedRecipe, AFailedSourceIsToldAndTheOthersGoOn) {
  const Scratch scratch;
  fs::create_directories(scratch / "out/short-seed0");
  gw::test::write_file(scratch / "out/short-seed0/stranger", "");  // no run can start here
  const auto answer = cli(check(scratch, "--seeds 0"));
  expect(answer, 1, "not run: its source short failed");
  expect(answer, 1, "short seed 0: run directory: expected an empty directory");
  EXPECT_TRUE(fs::exists(scratch / "out/at_once-seed0/metrics.json"));
}

TEST(ContinuedRecipe, TrainRunsTheSourceFirst) {
  const Scratch scratch;
  fs::copy("recipes/continued.toml", scratch / "mine.toml");
  const std::string command =
      "cd " + scratch.path() + " && " GW_CLI " train mine.toml --arm longer --quiet --threads 1 --json";
  expect(shell(command), 0, "\"arm\":\"longer\"");
  EXPECT_TRUE(fs::exists(scratch / "runs/continued-tiny-short-seed0/metrics.json"));
  EXPECT_TRUE(fs::exists(scratch / "runs/continued-tiny-longer-seed0/metrics.json"));
}

TEST(ContinuedRecipe, BadBudgetsAndMarksAreRefusedBeforeAnythingRuns) {
  const auto refused = [](const std::string& line, const std::string& by, const std::string& part) {
    const Scratch scratch;
    auto text = read_file("recipes/continued.toml");
    const auto at = text.find(line);
    ASSERT_NE(at, std::string::npos) << line;
    gw::test::write_file(scratch / "r.toml", text.replace(at, line.size(), by));
    expect(cli("check " + (scratch / "r.toml") + " --quiet --out " + (scratch / "out")), 2, part);
    EXPECT_FALSE(fs::exists(scratch / "out"));
  };
  refused("budget = { examples = 800 }", "budget = { examples = 800, seconds = 1 }",
          "exactly one of examples, tokens, macs and seconds");
  refused("from = \"short\"", "from = \"shrt\"", "unknown arm \"shrt\"; did you mean \"short\"?");
  refused("from = \"short\"", "from = \"longer\"", "in a circle, got longer from longer");
  refused("metric = \"cross_entropy\"", "metric = \"cross_entrpy\"", "did you mean \"cross_entropy\"?");
  refused("curve = \"validation.cross_entropy\"", "curve = \"validation.cross_entrop\"",
          "did you mean \"validation.cross_entropy\"?");
}

}  // namespace
