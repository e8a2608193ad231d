// Clients that are processes, from outside: the same bits as threads, and what happens when they die or hang.
#include <gtest/gtest.h>

#include "gatewright/base/json.h"
#include "gatewright/base/json_text.h"
#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace gw::test::federated_cases {

Json metrics_of(const std::string& directory, const std::string& arm) {
  return read_json(directory + "/" + arm + "-seed0/metrics.json").at("metrics");
}

std::string check_with(const Scratch& scratch, const std::string& name, const std::string& arm,
                       const std::string& sets) {
  const auto out = scratch / name;
  const auto answer =
      shell(GW_CLI " check fedjets --size tiny --jobs 1 --quiet --arm " + arm + " " + sets + " --out " + out);
  EXPECT_LT(answer.code, 2) << answer.text;  // marks of other arms are not measured
  return out;
}

TEST(FederatedProcesses, GiveTheBitsOfThreads) {
  const Scratch scratch;
  const std::string threads = "--set federated.rounds=2 --set federated.run_as=threads",
                    processes =
                        "--set federated.rounds=2 --set federated.run_as=processes --set federated.hosts=3";
  const auto a = metrics_of(check_with(scratch, "threads", "fedjets", threads), "fedjets"),
             b = metrics_of(check_with(scratch, "processes", "fedjets", processes), "fedjets");
  EXPECT_EQ(a, b);
}

TEST(FederatedProcesses, WhoDiesOrHangsIsStartedAnew) {
  const Scratch scratch;
  const auto out = check_with(
      scratch, "hostile", "hostile",
      "--set federated.rounds=1 --set federated.per_round=12 --set federated.run_as=processes --set "
      "federated.timeout=15 --set 'federated.spoiled=[\"die\",\"hang\",\"nonsense\"]' --set "
      "'federated.spoils=[[4],[5],[6]]'");
  const auto m = metrics_of(out, "hostile");
  EXPECT_EQ(m.at("lost"), 2) << m.dump();
  EXPECT_EQ(m.at("refused"), 1) << m.dump();
  const auto results = read_file(out + "/hostile-seed0/results.json");
  EXPECT_NE(results.find("client 4: its process ended: exit status 9"), std::string::npos) << results;
  EXPECT_NE(results.find("client 5: no answer in 15 s"), std::string::npos) << results;
}

}  // namespace gw::test::federated_cases
