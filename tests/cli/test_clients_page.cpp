// The page docs/clients.md: its recipe and its command, as a reader would run them.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace gw::test::clients_page_cases {

TEST(ClientsPage, ItsRecipeRunsAndRefusesAGateOfTooManyExperts) {
  const auto page = read_file(std::string(GW_SOURCE_ROOT) + "docs/clients.md");
  const std::string fence = "```toml\n";
  const auto begin = page.find(fence) + fence.size();
  const auto recipe = page.substr(begin, page.find("```", begin) - begin);
  ASSERT_NE(page.find("gatewright check mine.toml --size tiny"), std::string::npos);
  const Scratch scratch;
  write_file(scratch / "mine.toml", recipe);
  const auto run = "check " + (scratch / "mine.toml") + " --size tiny --jobs 1 --out ";
  const auto answer = cli(run + (scratch / "run"));
  EXPECT_EQ(answer.code, 0) << answer.text;
  EXPECT_TRUE(std::filesystem::exists(scratch / "run/clients-seed0/metrics.json"));
  auto wrong = recipe;
  wrong.replace(wrong.find("k = 2"), 5, "k = 5");
  write_file(scratch / "wrong.toml", wrong);
  const auto refused =
      cli("check " + (scratch / "wrong.toml") + " --size tiny --jobs 1 --out " + (scratch / "refused"));
  expect(refused, 2, "expected k of at most 4 experts, got 5");
}

}  // namespace gw::test::clients_page_cases
