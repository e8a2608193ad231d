// Several runs of a check at a time give what one after the other gives.
#include <gtest/gtest.h>

#include <filesystem>

#include "gatewright/base/json.h"
#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace {

namespace fs = std::filesystem;
using gw::Json;
using gw::test::expect;
using gw::test::read_file;
using gw::test::Scratch;
using gw::test::shell;

std::string check(const Scratch& scratch, const char* folder, const std::string& more) {
  return GW_CLI " check continued --size tiny --out " + (scratch / folder) + " --threads 2 " + more;
}

/// The numbers of a run but for times.
Json metrics(const std::string& run) {
  auto all = Json::parse(read_file(run + "/metrics.json")).at("metrics");
  const Json copy = all;
  for (const auto& [name, value] : copy.items())
    if (name.rfind("ms_per_", 0) == 0) all.erase(name);
  return all;
}

TEST(Jobs, GiveTheSameBitsAsOneAfterTheOther) {
  const Scratch scratch;
  const auto alone = shell(check(scratch, "alone", "--quiet --jobs 1 --seeds 0 1"));
  const auto together = shell(check(scratch, "together", "--jobs 2 --seeds 0 1"));
  expect(together, alone.code, "6 of 6 runs");
  size_t compared = 0;
  for (const auto& item : fs::directory_iterator(scratch / "alone")) {
    if (!item.is_directory()) continue;
    const auto name = item.path().filename().string();
    const auto other = scratch / ("together/" + name);
    EXPECT_TRUE(read_file(item.path().string() + "/best.safetensors") ==
                read_file(other + "/best.safetensors"))
        << name;
    EXPECT_EQ(metrics(item.path().string()), metrics(other)) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 6u);
  EXPECT_TRUE(metrics(scratch / "together/longer-seed0").contains("accuracy"));
}

TEST(Jobs, AFailedSourceIsToldAndTheOthersGoOn) {
  const Scratch scratch;
  fs::create_directories(scratch / "out/short-seed0");
  gw::test::write_file(scratch / "out/short-seed0/stranger", "");  // no run can start here
  const auto answer = shell(check(scratch, "out", "--quiet --jobs 2 --seeds 0"));
  expect(answer, 1, "not run: its source short failed");
  expect(answer, 1, "short seed 0: run directory: expected an empty directory");
  EXPECT_TRUE(fs::exists(scratch / "out/at_once-seed0/metrics.json"));
}

TEST(Jobs, AnInterruptedCheckLeavesNobodyBehind) {
  const Scratch scratch;
  const auto command = check(scratch, "out", "--quiet --jobs 2 --set schedule.lr=0.011");
  const auto answer = shell("timeout --foreground -s TERM 3 " + command + "; code=$?; sleep 0.3; pgrep -f '" +
                            (scratch / "ou[t]") + " --arm' && exit 9; exit $code");
  expect(answer, 124, "Go on with the same command, without --fresh");
  EXPECT_EQ(answer.text.find("fail"), std::string::npos) << answer.text;
}

TEST(Jobs, AWorkerWithoutAParentIsRefused) {
  const Scratch scratch;
  expect(shell(check(scratch, "out", "--quiet --worker --arm short --seeds 0")), 2,
         "worker: expected a socket at descriptor 3");
}

}  // namespace
