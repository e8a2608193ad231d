// docs/graphs.md and docs/several-answers.md: their recipes and commands, as a reader would run them.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/cli/page.h"

namespace gw::test::task_page_cases {

constexpr const char* kCommand = "\n    gatewright check mine.toml --size small\n";

/// A folder with the page's recipe, as mine.toml, and the data of the examples.
void write_mine(const Scratch& scratch, const std::string& page) {
  write_file(scratch / "mine.toml", fenced_block(page, "toml"));
  for (const char* file : {"iris.csv", "penguins.csv"})
    std::filesystem::copy(std::string(GW_SOURCE_ROOT) + "examples/data/" + file, scratch / file);
}

/// One seed of the page's command: the others take the same way.
Answer run_mine(const Scratch& scratch) {
  return shell("cd " + scratch.path() + " && " GW_CLI " check mine.toml --size small --seeds 0");
}

TEST(TaskPages, AGraphOfYours) {
  const auto page = page_text("graphs.md");
  ASSERT_NE(page.find(kCommand), std::string::npos);
  const Scratch scratch;
  write_mine(scratch, page);
  auto script = fenced_block(page, "sh");
  ASSERT_FALSE(script.empty());
  script.pop_back();  // shell() closes the last line itself
  const auto made = shell("cd " + scratch.path() + "\n" + script);
  ASSERT_EQ(made.code, 0) << made.text;
  const auto answer = run_mine(scratch);
  EXPECT_EQ(answer.code, 0) << answer.text;
  EXPECT_TRUE(std::filesystem::exists(scratch / "runs/check-mine-small/mixture-seed0/metrics.json"));
  write_file(scratch / "edges.csv", read_file(scratch / "edges.csv") + "3,151\n");
  const auto refused =
      shell("cd " + scratch.path() + " && " GW_CLI " check mine.toml --size small --seeds 0 --fresh");
  EXPECT_EQ(refused.code, 2) << refused.text;
  EXPECT_NE(refused.text.find("line 1018"), std::string::npos) << refused.text;
}

TEST(TaskPages, SeveralAnswersOfARow) {
  const auto page = page_text("several-answers.md");
  ASSERT_NE(page.find(kCommand), std::string::npos);
  const Scratch scratch;
  write_mine(scratch, page);
  const auto answer = run_mine(scratch);
  EXPECT_EQ(answer.code, 0) << answer.text;
  const auto metrics = read_file(scratch / "runs/check-mine-small/groups-seed0/metrics.json");
  for (const char* name : {"accuracy.species", "rmse.body_mass_g", "dead_experts"})
    EXPECT_NE(metrics.find(name), std::string::npos) << name;
}

}  // namespace gw::test::task_page_cases
