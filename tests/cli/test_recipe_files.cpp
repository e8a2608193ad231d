// Recipe files of others, from outside.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace {

namespace fs = std::filesystem;
using gw::test::cli;
using gw::test::expect;
using gw::test::Scratch;
using gw::test::write_file;

}  // namespace

// With too little address space OpenBLAS crashed or asked for memory for ever.
TEST(Train, TooLittleMemoryIsSaidAtOnce) {
  const auto answer =
      gw::test::shell("ulimit -v 1100000; timeout 60 " GW_CLI " train advmoe --arm adv_moe --out /proc/none");
  expect(answer, 2, "out of memory: expected 512 MiB of address space");
  expect(gw::test::shell("ulimit -v 1100000; " GW_CLI " list > /dev/null"), 0, "");
}

TEST(TrainInput, NoEscapeSequenceReachesTheTerminal) {
  const auto answer = cli("train 'evil\x1b[31m\u202e.toml'");
  expect(answer, 2, "\\x1b[31m");
  EXPECT_EQ(answer.text.find('\x1b'), std::string::npos);
  EXPECT_EQ(answer.text.find("\u202e"), std::string::npos);
}

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
  for (const char* command : {"train ", "check "})
    expect(cli(command + path), 2, "expected the name of the recipe");
  write_file(path, "[=");
  for (const char* command : {"train ", "check "})
    expect(cli(command + path), 2, "evil.toml:1:2: expected TOML");
}

// Arms whose units learn parameters of their own, on the table that comes with the project.
TEST(GatedUnits, ArmsOfTheTableTrain) {
  const Scratch scratch;
  for (const char* arm : {"iris_xatglu", "iris_mittag_leffler"}) {
    const auto answer = cli(std::string("train gated_units --size tiny --set epochs=2 --arm ") + arm +
                            " --out " + (scratch / arm));
    expect(answer, 0, "accuracy");
  }
  expect(cli("train gated_units --size tiny --arm iris_xatglu --set "
             "network.mixture.bank.activation=\"arctan_gat\" --out " +
             (scratch / "refused")),
         2, "did you mean \"arctan_gate\"?");
}
