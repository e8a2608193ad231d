// The arm whose experts are programs: what it measures, what happens when they fail, and teams in files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "gatewright/runs/arm.h"
#include "gatewright/runs/team.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

namespace gw::test::composition_arm_cases {

/// A question is a letter three times; who knows the letters of its category repeats it.
std::string questions_in(const Scratch& scratch, int each = 60) {
  std::string text;
  for (int i = 0; i < each; ++i) {
    for (const char* kind : {"abcd", "efgh", "wxyz"}) {
      const std::string letters = kind;
      std::string word;
      for (int k = 0; k < 12; ++k) word += letters[static_cast<size_t>((i * (k + 1) + i / 4 + k * k) % 4)];
      text += R"({"text": ")" + word + R"(", "answer": ")" + word + R"(", "category": ")" + kind + "\"}\n";
    }
  }
  write_file(scratch / "questions.jsonl", text);
  return scratch / "questions.jsonl";
}

/// Repeats the word if it begins with one of the letters, and says "?" otherwise.
Json knows(const std::string& letters, double price, const std::string& first = "") {
  const std::string each = "w=${line##*\\\"text\\\":\\\"}; w=${w%%\\\"*}; case $w in [" + letters +
                           "]*) ;; *) w=?;; esac; echo \"{\\\"answer\\\": \\\"$w\\\"}\"";
  return {{"command", {"bash", "-c", "while read -r line; do " + first + each + "; done"}}, {"price", price}};
}

Json table_of(const std::string& questions, Json more = Json::object()) {
  Json how{{"questions", questions},
           {"budget", 2.0},
           {"prior", 1.0},
           {"outside", {"wxyz"}},
           {"budgets", {1.0, 2.0, 4.0}},
           {"router", {{"neighbours", 5}, {"unsure", 0.0}, {"doubt", "distance"}}},
           {"experts",
            {{"first", knows("abcd", 2)},
             {"second", knows("efgh", 2)},
             {"all", knows("a-z", 5)},
             {"none", knows("0-9", 1)}}}};
  how.update(more);
  return {{"name", "small"}, {"arm", "composed"}, {"seed", 1}, {"composition", how}};
}

std::shared_ptr<Arm> arm(const Json& table) { return make_arm(table, "the test"); }

ArmResult ran(const Json& table, const std::string& directory) {
  ArmRun run;
  run.directory = directory, run.timing_rounds = 0;
  run.now_s = run.wall_time_s = [] { return 1.0; };
  return arm(table)->run(run, {});
}

TEST(CompositionArm, BeatsEveryExpertOfItsPrice) {
  const Scratch scratch;
  const auto table = table_of(questions_in(scratch), {{"swap", {"second", "all"}}});
  const auto result = ran(table, scratch / "run");
  const auto left = arm(table)->leaves();
  for (const auto& item : result.metrics)
    EXPECT_NE(std::find(left.metrics.begin(), left.metrics.end(), item.first), left.metrics.end())
        << item.first;
  const auto& m = result.metrics;
  EXPECT_EQ(m.at("category_accuracy"), 1);
  EXPECT_EQ(m.at("quality"), 1);
  EXPECT_LT(m.at("single.quality"), 0.7);
  EXPECT_NEAR(m.at("gain_share"), 1, 1e-6);
  EXPECT_LE(m.at("price"), 2);
  EXPECT_EQ(m.at("failures"), 0);
  EXPECT_EQ(m.at("starts"), 4);
  EXPECT_EQ(m.at("outside.unsure"), 1);
  EXPECT_LT(m.at("swap.quality"), 1) << "only \"all\" is left for the second category, and it costs 5";
  EXPECT_EQ(result.tables.at("experts").names, (std::vector<std::string>{"all", "first", "none", "second"}));
  EXPECT_EQ(result.tables.at("scores").names, (std::vector<std::string>{"abcd", "efgh", "unsure"}));
  const auto& curve = result.curves.at("quality");
  EXPECT_EQ(curve.x, (std::vector<double>{1, 2, 4}));
  EXPECT_EQ(curve.y, (std::vector<double>{0, 1, 1}));
  EXPECT_EQ(result.curves.at("hit_rate").y.size(), 3u);
  const Scratch other;
  EXPECT_EQ(ran(table, other / "run").metrics, m) << "the seed decides";
  EXPECT_EQ(ran(table, scratch / "run").metrics, m) << "read, not run again";
}

TEST(CompositionArm, GoesOnWhileProgramsFail) {
  const Scratch scratch;
  auto table = table_of(questions_in(scratch, 20));
  table["composition"]["budget"] = 3.0;
  auto& experts = table["composition"]["experts"];
  experts["first"] = knows("abcd", 2, "n=$((n+1)); [ $((n % 7)) = 0 ] && exit 1; ");
  experts["second"] = knows("efgh", 2, "n=$((n+1)); [ $((n % 9)) = 0 ] && sleep 100; ");
  experts["second"]["timeout"] = 0.2;
  experts["absent"] = Json{{"command", {"no-such-program-as-this"}}, {"price", 1.0}};
  const auto result = ran(table, scratch / "run");
  const auto& m = result.metrics;
  EXPECT_EQ(m.at("unanswered"), 0);
  EXPECT_GE(m.at("failures"), 5);
  EXPECT_LE(m.at("price"), 3);
  EXPECT_GT(m.at("quality"), m.at("single.quality"));
  const auto& told = result.tables.at("experts");
  const auto row = [&](const std::string& name) {
    const auto at = std::find(told.names.begin(), told.names.end(), name) - told.names.begin();
    return told.values[static_cast<size_t>(at)];
  };
  const auto column = [&](const std::string& name) {
    return static_cast<size_t>(std::find(told.columns.begin(), told.columns.end(), name) -
                               told.columns.begin());
  };
  EXPECT_GE(row("first")[column("deaths")], 1);
  EXPECT_GE(row("second")[column("timeouts")], 1);
  EXPECT_EQ(row("absent")[column("missing")], 3) << "given up after three";
  EXPECT_EQ(row("absent")[column("given up")], 1);
  auto gone = table_of(questions_in(scratch, 20));
  gone["composition"]["experts"] = Json{{"absent", {{"command", {"no-such-program-as-this"}}}}};
  expect_part(refusal<ValueError>([&] { ran(gone, scratch / "gone"); }), "expected answers of absent");
}

TEST(CompositionArm, RefusesWhatItCannotCompose) {
  const Scratch scratch;
  const auto questions = questions_in(scratch, 10);
  const auto good = arm(table_of(questions));
  good->validate({});
  expect_part(refusal<ValueError>([&] { good->validate({good.get()}); }), "expected no arms in \"from\"");
  int number = 0;
  const auto refused = [&](const Json& more) {
    return refusal<ValueError>([&] {
      arm(table_of(questions, more))->validate({});
      ran(table_of(questions, more), scratch / std::to_string(++number));
    });
  };
  expect_part(refused({{"swap", {"secnd", "all"}}}), "did you mean \"second\"?");
  expect_part(refused({{"swap", {"second"}}}), "the expert that leaves and the one that joins");
  expect_part(refused({{"budget", 0.5}}), "the price of the cheapest expert");
  expect_part(refused({{"gaps", {{"files", {"iris.csv"}}}}}), "either \"questions\" or \"gaps\"");
  expect_part(refused({{"outside", {"wxyy"}}}), "did you mean \"wxyz\"?");
  expect_part(refused({{"quality", "exac"}}), "did you mean \"exact\"?");
  expect_part(refused({{"experts", Json::object()}}), "expected a table of experts");
}

TEST(Team, IsComposedKeptAndAsked) {
  const Scratch scratch;
  const auto made = table_of(questions_in(scratch)).at("composition");
  TeamOptions options;
  options.questions = made.at("questions").text(), options.budget = 2;
  options.experts.read("experts", made.at("experts"));
  const auto team = compose_team(options, {});
  EXPECT_EQ(team.categories, (std::vector<std::string>{"abcd", "efgh", "wxyz"}));
  EXPECT_EQ(team.names, (std::vector<std::string>{"all", "first", "none", "second"}));
  EXPECT_NEAR(team.alone[0], 1, 1e-12);
  write_team(scratch / "team.json", team);
  const auto again = read_team(scratch / "team.json");
  EXPECT_EQ(again.table.score, team.table.score);
  EXPECT_EQ(again.names, team.names);
  AskedTeam asked(again);
  const auto reply = asked.ask("abcdabcdabcd");
  EXPECT_EQ(reply.expert, "first");
  EXPECT_EQ(reply.answer, "abcdabcdabcd");
  EXPECT_EQ(reply.price, 2);
}

TEST(Team, DamagedFilesAreRefused) {
  const Scratch scratch;
  const auto made = table_of(questions_in(scratch, 10)).at("composition");
  TeamOptions options;
  options.questions = made.at("questions").text(), options.budget = 2;
  options.experts.read("experts", made.at("experts"));
  write_team(scratch / "team.json", compose_team(options, {}));
  const auto whole = Json::parse(read_file(scratch / "team.json"));
  const auto refused = [&](const std::function<void(Json&)>& damage) {
    auto json = whole;
    damage(json);
    write_file(scratch / "odd.json", json.dump());
    return refusal<ValueError>([&] { read_team(scratch / "odd.json"); });
  };
  expect_part(refused([](Json& j) { j["format"] = "a novel"; }), "expected a team of `gatewright compose`");
  expect_part(refused([](Json& j) { j["version"] = 2; }), "expected version 1, got 2");
  expect_part(refused([](Json& j) { j.erase("scores"); }), "compose the team again");
  expect_part(refused([](Json& j) { j["scores"] = Json::array(); }), "rows of scores");
  expect_part(refused([](Json& j) { j["scores"][0] = Json::array({1.0}); }),
              "expected 4 scores in every row");
  expect_part(refused([](Json& j) { j["known"][0]["category"] = "elsewhere"; }), "a known category");
  expect_part(refused([](Json& j) { j["names"][0] = "other"; }), "expected the expert \"other\"");
  expect_part(refused([](Json& j) { j["options"]["experts"].erase("all"); }), "expected 4 experts, got 3");
  expect_part(refusal<ValueError>([&] { compose_team({}, {}); }), "expected \"questions\"");
}

}  // namespace gw::test::composition_arm_cases
