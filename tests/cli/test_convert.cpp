// `gatewright convert` from outside: a small training, its experts in fewer bits, and what is refused.
#include <gtest/gtest.h>

#include <filesystem>

#include "gatewright/base/json.h"
#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace {

using gw::Json;
using namespace gw::test;

struct Trained {
  Scratch scratch;
  std::string run = scratch / "iris";
  Trained() {
    expect(cli("train iris --quiet --size tiny --arm mixture --set network.width=64 --set "
               "network.mixture.bank.hidden=64 --out " +
               run),
           0, "");
  }
};

const Trained& trained() {
  static const Trained once;
  return once;
}

TEST(Convert, ARunInFewerBitsIsMeasuredAndIsARunAgain) {
  for (const std::string weights : {"bf16", "int8", "int4"}) {
    const auto out = trained().scratch / ("to_" + weights);
    const auto answer = cli("convert " + trained().run + " --json --weights " + weights + " --out " + out);
    ASSERT_EQ(answer.code, 0) << answer.text;
    const auto json = Json::parse(answer.text);
    EXPECT_LT(json.at("bytes_after").get<int64_t>(), json.at("bytes_before").get<int64_t>());
    const double before = json.at("before").at("accuracy"), after = json.at("after").at("accuracy");
    EXPECT_GT(before, 0.6) << "the model that is rounded has not learned";
    EXPECT_NEAR(after, before, weights == "int4" ? 0.21 : 0.07);  // of 30 test rows at most six, or two
    expect(cli("inspect " + out), 0, "mixture0");
    expect(cli("convert " + out + " --weights int8"), 2, "converted already");
  }
}

TEST(Convert, RefusesBeforeAnythingIsWritten) {
  const auto& run = trained().run;
  const auto out = trained().scratch / "never";
  expect(cli("convert " + run + " --weights int3 --out " + out), 2, "did you mean \"int8\"");
  expect(cli("convert " + run + " --weights int8 --group 50 --out " + out), 2, "multiple of 64");
  expect(cli("convert " + (trained().scratch / "missing")), 2, "missing");
  expect(cli("convert " + run + " --out " + run), 2, "new or empty directory");
  EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace
