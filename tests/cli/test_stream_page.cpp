// The page docs/streams.md: its recipe and its command, as a reader would run them.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/cli/page.h"

namespace gw::test::stream_page_cases {

TEST(StreamPage, ItsRecipeRunsAndRefusesABrokenOrder) {
  const auto page = page_text("streams.md");
  auto recipe = fenced_block(page, "toml");
  ASSERT_FALSE(recipe.empty());
  ASSERT_NE(page.find("gatewright check mine.toml --size tiny"), std::string::npos);
  const Scratch scratch;
  write_file(scratch / "mine.toml", recipe);
  const auto answer = cli("check " + (scratch / "mine.toml") + " --size tiny --out " + (scratch / "run"));
  EXPECT_EQ(answer.code, 0) << answer.text;
  EXPECT_TRUE(std::filesystem::exists(scratch / "run/growing-seed0/metrics.json"));
  const std::string sorted = "sort = true, ";
  const auto at = recipe.find(sorted);
  ASSERT_NE(at, std::string::npos);
  write_file(scratch / "broken.toml", recipe.erase(at, sorted.size()));
  const auto refused =
      cli("check " + (scratch / "broken.toml") + " --size tiny --out " + (scratch / "broken"));
  EXPECT_EQ(refused.code, 2) << refused.text;
  EXPECT_NE(refused.text.find("time order broken in a stream"), std::string::npos) << refused.text;
}

}  // namespace gw::test::stream_page_cases
