// Recipes: what wins when they are merged, what they refuse; and the judgement of marks.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>

#include "gatewright/base/error.h"
#include "gatewright/train/check.h"
#include "tests/fuzz/check_toml.h"
#include "tests/fuzz/replay.h"
#include "tests/support/refusal.h"
#include "tests/train/small_run.h"

namespace gw::test::recipe_cases {

using gw::Json;

constexpr const char* kBody = R"(
title = "t"
[defaults]
epochs = 1
batch = 8
task = { part = "image_classification", epsilon = 0.1 }
objective = { part = "trades", beta = 6.0, steps = 3 }
schedule = { lr = 0.1, gamma = 0.5 }
[sizes.tiny]
seeds = [3, 4]
[sizes.tiny.config]
epochs = 2
batch = 9
schedule = { lr = 0.2 }
[sizes.paper]
[sizes.paper.config]
objective = { steps = 7 }
[arms.a]
[arms.a.config]
batch = 10
[arms.b]
[arms.b.config]
objective = { part = "adv_moe", alpha = 1.0 }
[arms.b.sizes.tiny.config]
batch = 11
objective = { alpha = 2.0 }
)";

gw::Recipe recipe_of(const std::string& text) {
  const Scratch scratch;
  std::ofstream(scratch / "r.toml") << text;
  return gw::load_recipe(scratch / "r.toml", {});
}

/// A training's configuration, as the kind of arm reads it.
gw::TrainConfig resolved(const gw::Recipe& recipe, const std::string& arm, const std::string& size,
                         int64_t seed, const std::vector<std::string>& overrides = {}) {
  gw::TrainConfig config;
  gw::parse_options("recipe " + recipe.name, recipe.merged(arm, size, seed, overrides), config);
  return config;
}

gw::Mark mark(const std::string& metric, double at_least, double at_most = gw::kInfinity) {
  gw::Mark m;
  m.name = m.metric = metric, m.arm = "a", m.at_least = at_least, m.at_most = at_most;
  return m;
}

gw::MarkResult judged(const gw::Mark& m, const std::vector<gw::ArmResult>& results) {
  gw::Recipe recipe;
  recipe.marks = {m};
  const auto out = gw::judge(recipe, "tiny", results);
  EXPECT_EQ(out.size(), 1u);
  return out.at(0);
}

const std::vector<gw::ArmResult> kResults = {
    {"a", 0, {{"x", 0.5}}}, {"a", 1, {{"x", 0.7}}}, {"b", 0, {{"x", 0.25}}}, {"b", 1, {{"x", 0.1}}}};

TEST(Recipe, MergesDefaultsThenSizeThenArmThenArmAtSizeThenOverrides) {
  const auto recipe = recipe_of(kBody);
  EXPECT_EQ(recipe.name, "r");
  EXPECT_EQ(recipe.arms, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(recipe.seeds("tiny"), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(recipe.seeds("paper"), (std::vector<int64_t>{0}));
  const auto a = resolved(recipe, "a", "tiny", 5);
  EXPECT_EQ(a.epochs, 2) << "size over defaults";
  EXPECT_EQ(a.batch, 10) << "arm over size";
  EXPECT_EQ(a.task.json(), (Json{{"part", "image_classification"}, {"epsilon", 0.1}}));
  EXPECT_EQ(a.seed, 5);
  EXPECT_EQ(a.arm, "a");
  EXPECT_EQ(a.name, "r");
  EXPECT_EQ(a.schedule.json(), (Json{{"lr", 0.2}, {"gamma", 0.5}})) << "tables are merged key by key";
  EXPECT_EQ(resolved(recipe, "b", "tiny", 0).batch, 11) << "arm at size over arm";
  const auto set = resolved(recipe, "b", "tiny", 0, {"batch=12", "objective.alpha=3"});
  EXPECT_EQ(set.batch, 12);
  EXPECT_EQ(set.objective.json(), (Json{{"part", "adv_moe"}, {"alpha", 3}}));
  for (const char* table : {R"(objective={part = "adv_moe", alpha = 3})",
                            R"(objective={"part": "adv_moe", "alpha": 3})"}) {  // as in recipes, as in JSON
    EXPECT_EQ(resolved(recipe, "b", "tiny", 0, {table}).objective.json().at("alpha"), 3) << table;
  }
  expect_part(refusal([&] { resolved(recipe, "b", "tiny", 0, {"objective={alpha = }"}); }), "override:1:");
}

TEST(Recipe, AnotherPartsOptionsAreReplacedWholly) {
  const auto recipe = recipe_of(kBody);
  EXPECT_EQ(resolved(recipe, "b", "tiny", 0).objective.json(), (Json{{"part", "adv_moe"}, {"alpha", 2.0}}))
      << "beta and steps were those of trades";
  EXPECT_EQ(resolved(recipe, "a", "paper", 0).objective.json(),
            (Json{{"part", "trades"}, {"beta", 6.0}, {"steps", 7}}));
  EXPECT_EQ(resolved(recipe, "a", "tiny", 0, {"objective.part=natural"}).objective.json(),
            (Json{{"part", "natural"}}));
  EXPECT_EQ(resolved(recipe, "a", "tiny", 0, {"objective.part=trades"}).objective.json(),
            (Json{{"part", "trades"}, {"beta", 6.0}, {"steps", 3}}));
}

TEST(Recipe, OverridesAreJsonOrText) {
  const auto recipe = recipe_of(kBody);
  const auto network = [&](const std::string& text) {
    return resolved(recipe, "a", "tiny", 0, {text}).network.json();
  };
  EXPECT_EQ(network("network.a=1")["a"], 1);
  EXPECT_EQ(network("network.a=1e-3")["a"], 1e-3);
  EXPECT_EQ(network("network.a=true")["a"], true);
  EXPECT_EQ(network("network.a=[1, 2]")["a"], (Json{1, 2}));
  EXPECT_EQ(network("network.a=resnet18")["a"], "resnet18");
  EXPECT_EQ(network("network.a=x=y")["a"], "x=y");
  EXPECT_EQ(network("network.a=")["a"], "");
  EXPECT_EQ(network("network.a.b.c=1")["a"]["b"]["c"], 1);
  for (const char* bad : {"epochs", "=3", ""})
    expect_part(refusal([&] { resolved(recipe, "a", "tiny", 0, {bad}); }),
                "override: expected key=value, got \"");
  expect_part(refusal([&] { resolved(recipe, "a", "tiny", 0, {"epoch=3"}); }),
              "recipe r: unknown option \"epoch\"; did you mean \"epochs\"?");
  expect_part(refusal([&] { resolved(recipe, "a", "tiny", 0, {"epochs=many"}); }),
              "expected an integer for \"epochs\"");
  expect_part(refusal([&] { resolved(recipe, "a", "tiny", 0, {"objective=3"}); }),
              "expected a table for \"objective\"");
}

TEST(Recipe, UnknownNamesGetTheNearMiss) {
  const auto recipe = recipe_of(kBody);
  expect_part(refusal([&] { resolved(recipe, "c", "tiny", 0); }),
              "recipe: unknown arm \"c\"; did you mean \"a\"?");
  expect_part(refusal([&] { resolved(recipe, "a", "tny", 0); }),
              "recipe: unknown size \"tny\"; did you mean \"tiny\"?");
  expect_part(refusal([&] { recipe.seeds("papr"); }), "did you mean \"paper\"?");
  const Scratch scratch;
  std::ofstream(scratch / "advmoe.toml") << kBody;
  EXPECT_EQ(gw::load_recipe("advmoe", {"/nonexistent", scratch.path()}).name, "advmoe");
  expect_part(refusal([&] { gw::load_recipe("advmo", {scratch.path()}); }),
              "recipe: unknown recipe \"advmo\"; did you mean \"advmoe\"?");
  expect_part(refusal([&] { gw::load_recipe("../" + scratch.path().substr(1) + "/advmoe", {"/tmp"}); }),
              "unknown recipe");
  expect_part(refusal([&] { gw::load_recipe(scratch / "none.toml", {}); }), "No such file");
}

TEST(Recipe, MalformedFilesAreNamedWithTheirPlace) {
  const auto load = [](const std::string& text) { return refusal([&] { recipe_of(text); }); };
  const std::string body = kBody;
  const auto malformed = load("title = \"t\"\nepochs = = 3\n");
  expect_part(malformed, "r.toml:2:10: expected TOML, got an error: ");
  expect_part(load(""), "expected at least one entry in [sizes], got none");
  expect_part(load("[sizes.tiny]\n"), "expected at least one entry in [arms], got none");
  expect_part(load("titel = 1\n" + body), "unknown key \"titel\"; did you mean \"title\"?");
  expect_part(load("name = 3\n" + body), "expected text for \"name\", got 3");
  expect_part(load(body + "[sizes.x]\nseed = [1]\n"),
              "sizes.x: unknown key \"seed\"; did you mean \"seeds\"?");
  expect_part(load(body + "[arms.x]\nconfg = {}\n"),
              "arms.x: unknown key \"confg\"; did you mean \"config\"?");
  expect_part(load(body + "[arms.x]\nconfig = 3\n"), "expected a table for \"config\", got 3");
  expect_part(load(body + "[arms.x.sizes.tinny]\n"), "unknown size \"tinny\"; did you mean \"tiny\"?");
  expect_part(load("arms = 3\n[sizes.tiny]\n"), "expected at least one entry in [arms]");
  expect_part(load("arms = {a = 3}\n[sizes.tiny]\n"), "expected a table, got 3");
  expect_part(load("marks = 3\n" + body), "expected a list of tables [[marks]]");
  EXPECT_EQ(load("[paper]\ndate = 2023-08-20\ntime = 2023-08-20T10:00:00Z\nlimit = inf\n" + body), "accepted")
      << "TOML has dates, JSON has none";
  const auto seeds = recipe_of(body + "[sizes.x]\nseeds = [1.5]\n[sizes.y]\nseeds = []\n");
  expect_part(refusal([&] { seeds.seeds("x"); }), "expected integer seeds in sizes.x, got 1.5");
  expect_part(refusal([&] { seeds.seeds("y"); }), "expected a list of seeds in sizes.y");
}

TEST(Recipe, MalformedTomlThatBreaksTheParsersAssertionsIsRefused) {
  const auto load = [](const std::string& text) { return refusal([&] { recipe_of(text); }); };
  expect_part(load("[="), "r.toml:1:2: expected TOML");
  expect_part(load("[[="), "r.toml:1:3: expected TOML");
  expect_part(load("title = \"t\"\n[="), "r.toml:2:2: expected TOML");
  expect_part(refusal([] { resolved(recipe_of(kBody), "a", "tiny", 0, {"objective={}\n[="}); }), "override");
  expect_part(refusal([] { resolved(recipe_of(kBody), "a", "tiny", 0, {"objective={alpha = [=}"}); }),
              "override:1:");
}

TEST(Recipe, DeepKeysAreRefusedBeforeTheyAreParsed) {
  const auto dotted = [](size_t levels) {
    std::string key = "a";
    for (size_t i = 1; i < levels; ++i) key += ".a";
    return key;
  };
  const auto load = [](const std::string& text) { return refusal([&] { recipe_of(text); }); };
  const std::string message = "nested at most 64 deep";
  const auto started = std::chrono::steady_clock::now();
  expect_part(load("[" + dotted(100000) + "]\n"), message);
  expect_part(load("[" + dotted(100000) + "]\n"), "r.toml:1:");
  expect_part(load(dotted(100000) + " = 1\n"), message);
  expect_part(load("x = " + std::string(100000, '[')), message);
  expect_part(load("x = \"\"\"a\"\"\"\"" + ("\n" + dotted(100000)) + " = 1\n"), message);
  const auto recipe = recipe_of(kBody);
  expect_part(refusal([&] { resolved(recipe, "a", "tiny", 0, {dotted(60000) + "=1"}); }), message);
  expect_part(refusal([&] {
                resolved(recipe, "a", "tiny", 0,
                         {"network.a=" + std::string(60000, '[') + std::string(60000, ']')});
              }),
              message);
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(10));
  const std::string dots(500, '.');
  EXPECT_EQ(load("title = \"" + dots + "\" # " + dots + "\n" +
                 std::string(kBody).substr(std::string(kBody).find("[defaults]"))),
            "accepted")
      << "dots of texts and comments are no levels";
  EXPECT_EQ(load(std::string(kBody) + "[paper]\nnumbers = [" + std::string("1.5, ") + "2.5]\n" + dotted(60) +
                 " = 1\n"),
            "accepted");
}

TEST(Recipe, NamesCannotLeadOutOfTheDirectory) {
  const std::string body = kBody;
  const auto load = [](const std::string& text) { return refusal([&] { recipe_of(text); }); };
  for (const char* bad : {"../../x", "/x", "a/b", "", ".", "..", ".x", "a b", "a\\nb", "a\\u001b[31m", "ä"}) {
    expect_part(load("name = \"" + std::string(bad) + "\"\n" + body), "expected the name of the recipe");
    expect_part(load(body + "[arms.\"" + bad + "\"]\n"), "expected the name of the arm");
    expect_part(load(body + "[sizes.\"" + bad + "\"]\n"), "expected the name of the size");
  }
  expect_part(load("name = \"" + std::string(65, 'a') + "\"\n" + body), "at most 64");
  EXPECT_EQ(load("name = \"A-z_0.9\"\n" + body), "accepted");
  const auto recipe = recipe_of(body);
  expect_part(refusal([&] { resolved(recipe, "a", "tiny", 0, {"arm=../../x"}); }),
              "expected the name of the arm");
  expect_part(refusal([&] { resolved(recipe, "a", "tiny", 0, {"name=../../x"}); }),
              "expected the name of the recipe");
}

TEST(Recipe, ArmsComeAfterThoseThatTheyStartFrom) {
  const auto recipe =
      recipe_of(std::string(kBody) + "[arms.aa]\nfrom = \"z\"\n[arms.m]\nfrom = [\"aa\", \"b\"]\n[arms.z]\n");
  EXPECT_EQ(recipe.in_order(recipe.arms), (std::vector<std::string>{"a", "z", "aa", "b", "m"}));
  EXPECT_EQ(recipe.in_order({"m"}), (std::vector<std::string>{"z", "aa", "b", "m"})) << "and what it needs";
  EXPECT_EQ(recipe.in_order({"b", "a"}), (std::vector<std::string>{"b", "a"})) << "else as given";
  EXPECT_EQ(recipe.sources("m"), (std::vector<std::string>{"aa", "b"}));
  EXPECT_EQ(recipe.sources("a"), std::vector<std::string>());
}

TEST(Recipe, ASizeMayNameItsArms) {
  const auto recipe = recipe_of(std::string(kBody) + "[sizes.few]\narms = [\"b\"]\n");
  EXPECT_EQ(recipe.arms_at("few"), std::vector<std::string>{"b"});
  EXPECT_EQ(recipe.arms_at(recipe.sizes.back() == "few" ? recipe.sizes.front() : recipe.sizes.back()),
            recipe.arms);
  const auto load = [](const std::string& text) { return refusal([&] { recipe_of(kBody + text); }); };
  expect_part(load("[sizes.few]\narms = [\"bb\"]\n"), "unknown arm \"bb\"");
  expect_part(load("[sizes.few]\narms = []\n"), "expected a list of arms in sizes.few");
  expect_part(load("[sizes.few]\narms = \"b\"\n"), "expected a list of arms in sizes.few");
}

TEST(Recipe, CirclesAndUnknownSourcesAreRefused) {
  const auto load = [](const std::string& text) { return refusal([&] { recipe_of(kBody + text); }); };
  expect_part(load("[arms.c]\nfrom = \"d\"\n[arms.d]\nfrom = \"e\"\n[arms.e]\nfrom = \"d\"\n"),
              "expected arms that do not start from each other in a circle, got d from e from d");
  expect_part(load("[arms.c]\nfrom = \"c\"\n"), "in a circle, got c from c");
  expect_part(load("[arms.first]\n[arms.c]\nfrom = \"frist\"\n"),
              "unknown arm \"frist\"; did you mean \"first\"?");
  expect_part(load("[arms.c]\nfrom = 3\n"), "expected an arm or a list of arms for \"from\", got 3");
  expect_part(load("[arms.c]\nkind = 3\n"), "expected text for \"kind\", got 3");
  expect_part(load("[arms.c]\nform = \"a\"\n"), "unknown key \"form\"; did you mean \"from\"?");
}

TEST(Recipe, AnyBytesAreReadOrRefused) {
  const auto counts =
      gw::test::replay("toml", 2000, [](std::string_view bytes) { return gw::test::check_toml(bytes); });
  EXPECT_GT(counts.accepted, 20);
  EXPECT_GT(counts.refused, 500);
}

TEST(Recipe, MarksThatCouldNotBeJudgedAreRefused) {
  const auto load = [](const std::string& lines) {
    return refusal([&] { recipe_of(std::string(kBody) + "[[marks]]\nname = \"m\"\n" + lines); });
  };
  EXPECT_EQ(load("metric = \"x\"\narm = \"a\"\nat_least = 1\nsizes = [\"tiny\"]\n"), "accepted");
  expect_part(load("metric = \"x\"\narm = \"ab\"\nat_least = 1\n"),
              "unknown arm \"ab\"; did you mean \"a\"?");
  expect_part(load("metric = \"x\"\narm = \"a\"\nminus = \"q\"\nat_least = 1\n"), "unknown arm \"q\"");
  expect_part(load("metric = \"x\"\narm = \"a\"\ndivided_by = \"q\"\nat_least = 1\n"), "unknown arm \"q\"");
  expect_part(load("metric = \"x\"\narm = \"a\"\nat_least = 1\nsizes = [\"tinny\"]\n"),
              "unknown size \"tinny\"");
  expect_part(load("metric = \"x\"\nat_least = 1\n"), "expected an arm, got none");
  expect_part(load("metric = \"x\"\narm = \"a\"\n"), "expected at_least or at_most, got no bound");
  expect_part(load("metric = \"x\"\narm = \"a\"\nat_least = 2\nat_most = 1\n"), "it could not hold");
  expect_part(load("metric = \"x\"\narm = \"a\"\nat_lest = 2\n"), "did you mean \"at_least\"?");
}

TEST(Judge, MeansDifferencesAndRatios) {
  const auto plain = judged(mark("x", 0.6, 0.6 + 1e-12), kResults);
  EXPECT_TRUE(plain.holds);
  EXPECT_DOUBLE_EQ(plain.measured, 0.6);
  EXPECT_EQ(plain.low, 0.5);
  EXPECT_EQ(plain.high, 0.7);
  EXPECT_EQ(plain.seeds, 2u);
  EXPECT_FALSE(judged(mark("x", 0.61), kResults).holds);
  EXPECT_FALSE(judged(mark("x", 0, 0.59), kResults).holds);
  auto difference = mark("x", 42.4, 42.6);
  difference.minus = "b", difference.scale = 100;
  EXPECT_TRUE(judged(difference, kResults).holds) << "(0.25 + 0.6) / 2 in points, by equal seeds";
  EXPECT_DOUBLE_EQ(judged(difference, kResults).low, 25);
  auto ratio = mark("x", 4.5, 4.5 + 1e-12);
  ratio.divided_by = "b";
  EXPECT_TRUE(judged(ratio, kResults).holds) << "mean of 2 and 7";
}

TEST(Judge, MissingSeedsAreLeftOutAndNothingMeasuredDoesNotHold) {
  auto difference = mark("x", 0);
  difference.minus = "b";
  auto results = kResults;
  results.pop_back();
  const auto one = judged(difference, results);
  EXPECT_EQ(one.seeds, 1u);
  EXPECT_DOUBLE_EQ(one.measured, 0.25);
  const auto none = judged(difference, {results[0], results[1]});
  EXPECT_EQ(none.seeds, 0u);
  EXPECT_FALSE(none.holds);
  EXPECT_FALSE(judged(mark("y", -1), kResults).holds);
  auto zero = mark("x", -gw::kInfinity, 10);
  zero.divided_by = "b";
  EXPECT_FALSE(judged(zero, {{"a", 0, {{"x", 1}}}, {"b", 0, {{"x", 0}}}}).holds)
      << "a ratio with zero was not measured";
}

TEST(Judge, NaNAndInfinityDoNotHold) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {nan, gw::kInfinity}) {
    const std::vector<gw::ArmResult> results{{"a", 0, {{"x", bad}}}, {"a", 1, {{"x", 0.5}}}};
    EXPECT_FALSE(judged(mark("x", 0), results).holds) << bad;
    EXPECT_FALSE(judged(mark("x", -gw::kInfinity, 1), results).holds) << bad;
  }
}

TEST(Judge, OnlyMarksOfTheSizeApply) {
  gw::Recipe recipe;
  auto everywhere = mark("x", 0), elsewhere = mark("x", 0), here = mark("x", 0);
  elsewhere.sizes = {"paper"}, here.sizes = {"paper", "tiny"};
  recipe.marks = {everywhere, elsewhere, here};
  EXPECT_EQ(gw::judge(recipe, "tiny", kResults).size(), 2u);
}

TEST(Spread, HasMeanRangeAndSampleDeviation) {
  const auto s = gw::spread(kResults, "a", "x");
  EXPECT_EQ(s.count, 2u);
  EXPECT_DOUBLE_EQ(s.mean, 0.6);
  EXPECT_DOUBLE_EQ(s.deviation, std::sqrt(0.02));
  EXPECT_EQ(gw::spread(kResults, "c", "x").count, 0u);
  EXPECT_EQ(gw::spread({kResults[0]}, "a", "x").deviation, 0);
}

}  // namespace gw::test::recipe_cases
