// Recipe files of others, from outside.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "cli/shell.h"
#include "observe/scratch.h"

namespace {

namespace fs = std::filesystem;
using gw_test::cli;
using gw_test::expect;
using gw_test::Scratch;
using gw_test::write_file;

}  // namespace

TEST(TrainInput, MalformedRecipesAreNamedWithLineAndColumn) {
  const Scratch scratch;
  const auto path = scratch / "mine.toml";
  write_file(path, "title = \"mine\"\n[arms.a]\nconfig = { epochs = = 3 }\n");
  const auto place = path + ":3:";
  const Scratch out;
  expect(cli("train " + path + " --out " + (out / "run")), 2, "recipe " + place);
  expect(cli("check " + path + " --out " + (out / "run")), 2, "recipe " + place);
  EXPECT_TRUE(fs::is_empty(out.path()));
}

TEST(TrainInput, NamesThatLeadOutOfTheDirectoryAreRefused) {
  const Scratch scratch;
  const auto path = scratch / "evil.toml";
  write_file(path, "name = \"../../elsewhere/trav\"\n[sizes.tiny]\n[arms.a]\n");
  for (const char* command : {"train ", "check "}) expect(cli(command + path), 2, "expected the name of the recipe");
  write_file(path, "[=");
  for (const char* command : {"train ", "check "}) expect(cli(command + path), 2, "evil.toml:1:2: expected TOML");
}
