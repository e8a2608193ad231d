// results.json: what is written is read again, what is damaged is refused, and the page shows it.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gatewright/base/error.h"
#include "gatewright/runs/results.h"
#include "gatewright/runs/run_directory.h"

using namespace gw;
using namespace gw::test;

namespace gw::test::results_cases {

const double kNan = std::numeric_limits<double>::quiet_NaN();

Results some() {
  Results results;
  results.curves["forgetting"] = {"task", {1, 2, 3}, {0.1, kNan, 0.3}};
  results.tables["experts"] = {"expert", {"share", "alone"}, {"E0", "E1"}, {{0.25, 0.5}, {0.75, kNan}}};
  return results;
}

TEST(Results, AreReadAsTheyWereWritten) {
  const auto document = Json::parse(dump_json(to_json(some())));
  EXPECT_TRUE(document["curves"]["forgetting"]["y"][1].is_null());
  const auto read = parse_results(document, "r");
  const auto& curve = read.curves.at("forgetting");
  EXPECT_EQ(curve.axis, "task");
  EXPECT_EQ(curve.x, (std::vector<double>{1, 2, 3}));
  EXPECT_TRUE(std::isnan(curve.y[1]));
  const auto& table = read.tables.at("experts");
  EXPECT_EQ(table.row, "expert");
  EXPECT_EQ(table.names, (std::vector<std::string>{"E0", "E1"}));
  EXPECT_EQ(table.values[1][0], 0.75);
  EXPECT_TRUE(std::isnan(table.values[1][1]));
}

TEST(Results, DamageIsNamed) {
  const auto refused = [](const std::function<void(Json&)>& change) {
    auto document = Json::parse(dump_json(to_json(some())));
    change(document);
    try {
      parse_results(document, "place");
    } catch (const ValueError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refused([](Json&) {}), "accepted");
  const auto part = [](const std::string& text, const char* of) {
    EXPECT_NE(text.find(of), std::string::npos) << text;
  };
  part(refused([](Json& d) { d.erase("tables"); }), "expected \"tables\" at place");
  part(refused([](Json& d) { d["curves"]["forgetting"]["y"].push_back(1); }),
       "expected 3 numbers at place: forgetting, got 4");
  part(refused([](Json& d) { d["curves"]["forgetting"]["x"] = "many"; }), "expected 0 numbers");
  part(refused([](Json& d) { d["tables"]["experts"]["values"][0][0] = "a"; }),
       "expected numbers at place: experts");
  part(refused([](Json& d) { d["tables"]["experts"]["names"].push_back("E2"); }),
       "expected 3 rows of values");
  part(refused([](Json& d) { d["tables"]["experts"]["columns"][0] = 3; }), "expected texts at \"columns\"");
  part(refused([](Json& d) { d = 3; }), "expected \"curves\" at place");
}

}  // namespace gw::test::results_cases
