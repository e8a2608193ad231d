// The recipe that shows the published evaluation beside the worst case.
#include <string>

#include "tests/cli/train_runs.h"

namespace gw::test::hard_routing_cases {

TEST(HardRouting, TheCheckShowsThePublishedEvaluationBesideTheWorstCase) {
  const Scratch scratch;
  const auto answer = cli("check hard_routing --size tiny --arm at_moe_through " + kSmall +
                          "--set epochs=1 --out " + (scratch / "check"));
  expect(answer, 0, "worst case %");
  expect(answer, 0, "published, beside %");
  const auto check = Json::parse(read_file(scratch / "check/check.json"));
  const auto& metrics = check.at("arms").at(0).at("metrics");
  EXPECT_TRUE(metrics.contains("robust.published"));
  const auto mean = [&](const char* name) { return metrics.at(name).at("mean").get<double>(); };
  EXPECT_LE(mean("robust.worst_case"), mean("robust.pgd"));
}

}  // namespace gw::test::hard_routing_cases
