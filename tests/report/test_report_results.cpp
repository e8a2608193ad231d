// Curves and tables that an arm leaves, on the page.
#include <gtest/gtest.h>

#include "gatewright/report/report.h"
#include "gatewright/runs/results.h"
#include "gatewright/runs/run_directory.h"
#include "tests/runs/fixture_runs.h"
#include "tests/runs/scratch.h"

namespace gw::test::report_results_cases {

using namespace gw;

TEST(ReportResults, StandOnThePage) {
  Results left;
  left.curves["forgetting"] = {"task", {1, 2, 3}, {0.1, 0.2, 0.3}};
  left.tables["experts"] = {"expert", {"share", "alone"}, {"E0", "E1"}, {{0.25, 0.5}, {0.75, 0.4}}};
  const Scratch scratch;
  write_fixture_run(scratch / "run", {});
  EXPECT_EQ(render_report({scratch / "run"}).find("id=\"left\""), std::string::npos);
  write_file(scratch / "run/results.json", dump_json(to_json(left)));
  const auto page = render_report({scratch / "run"});
  EXPECT_NE(page.find("id=\"left\""), std::string::npos);
  EXPECT_NE(page.find("forgetting"), std::string::npos);
  EXPECT_NE(page.find(">E1<"), std::string::npos);
}

}  // namespace gw::test::report_results_cases
