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

/// The recipe with other words in it, checked by the program itself.
std::string check_with(const Scratch& scratch, const std::string& name, const std::string& arm,
                       const std::vector<std::pair<std::string, std::string>>& changes) {
  auto recipe = read_file(std::string(GW_SOURCE_ROOT) + "recipes/fedjets.toml");
  for (const auto& [from, to] : changes) {
    EXPECT_NE(recipe.find(from), std::string::npos) << from;
    for (size_t at = 0; (at = recipe.find(from, at)) != std::string::npos; at += to.size())
      recipe.replace(at, from.size(), to);
  }
  write_file(scratch / (name + ".toml"), recipe);
  const auto out = scratch / name;
  const auto answer = shell(GW_CLI " check " + (scratch / (name + ".toml")) +
                            " --size tiny --jobs 1 --quiet --arm " + arm + " --out " + out);
  EXPECT_LT(answer.code, 2) << answer.text;  // marks of other arms are not measured
  return out;
}

TEST(FederatedProcesses, GiveTheBitsOfThreads) {
  const Scratch scratch;
  const auto a = metrics_of(check_with(scratch, "threads", "fedjets",
                                       {{"rounds = 4, hosts = 1", "rounds = 2, run_as = \"threads\""}}),
                            "fedjets");
  const auto b =
      metrics_of(check_with(scratch, "processes", "fedjets",
                            {{"rounds = 4, hosts = 1", "rounds = 2, run_as = \"processes\", hosts = 3"}}),
                 "fedjets");
  EXPECT_EQ(a, b);
}

TEST(FederatedProcesses, WhoDiesOrHangsIsStartedAnew) {
  const Scratch scratch;
  const auto out =
      check_with(scratch, "hostile", "hostile",
                 {{"rounds = 3, run_as = \"threads\", per_round = 8",
                   "rounds = 1, timeout = 15.0, run_as = \"processes\", per_round = 12"},
                  {"spoiled = [\"nan\", \"shape\", \"absurd\", \"die\"], spoils = [[4], [5], [6], [7]]",
                   "spoiled = [\"die\", \"hang\", \"nonsense\"], spoils = [[4], [5], [6]]"}});
  const auto m = metrics_of(out, "hostile");
  EXPECT_EQ(m.at("lost"), 2) << m.dump();
  EXPECT_EQ(m.at("refused"), 1) << m.dump();
  const auto results = read_file(out + "/hostile-seed0/results.json");
  EXPECT_NE(results.find("client 4: its process ended: exit status 9"), std::string::npos) << results;
  EXPECT_NE(results.find("client 5: no answer in 15 s"), std::string::npos) << results;
}

}  // namespace gw::test::federated_cases
