#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/base/json.h"
#include "gatewright/base/options.h"

namespace {

struct Sample : gw::OptionSet {
  int64_t k = 2, seed = 0;
  double jitter = 0;
  bool renormalise = true;
  std::string score = "softmax";
  void fields(gw::OptionVisitor& v) override {
    v.integer("k", k, "experts per token", 1, 64);
    v.integer("seed", seed, "of the weights", 0, INT64_MAX);
    v.real("jitter", jitter, "a fraction", 0, 1);
    v.flag("renormalise", renormalise, "weights sum to one");
    v.text("score", score, "score function", {"softmax", "sigmoid"});
  }
};

std::string message_of(const gw::Json& values) {
  Sample sample;
  try {
    gw::parse_options("policies/top_k", values, sample);
  } catch (const gw::ValueError& error) {
    return error.what();
  }
  return "";
}

TEST(Options, FillsFields) {
  Sample sample;
  gw::parse_options("p", {{"k", 4}, {"jitter", 0.5}, {"renormalise", false}, {"score", "sigmoid"}}, sample);
  EXPECT_EQ(sample.k, 4);
  EXPECT_EQ(sample.jitter, 0.5);
  EXPECT_FALSE(sample.renormalise);
  EXPECT_EQ(sample.score, "sigmoid");
  EXPECT_EQ(gw::write_options(sample)["k"], 4);
}

TEST(Options, NamesPartKeyValueAndRemedy) {
  EXPECT_EQ(message_of({{"jiter", 0.1}}),
            "policies/top_k: unknown option \"jiter\"; did you mean \"jitter\"?");
  EXPECT_NE(message_of({{"k", 0}}).find("1 … 64, got 0"), std::string::npos);
  EXPECT_NE(message_of({{"k", 1.5}}).find("expected an integer"), std::string::npos);
  EXPECT_NE(message_of({{"k", 18446744073709551615ull}}).find("got 18446744073709551615"), std::string::npos);
  EXPECT_NE(message_of({{"seed", 18446744073709551615ull}})
                .find("in 0 … 9223372036854775807, got 18446744073709551615"),
            std::string::npos)
      << message_of({{"seed", 18446744073709551615ull}});
  EXPECT_NE(message_of({{"score", "softmx"}}).find("did you mean \"softmax\"?"), std::string::npos);
  EXPECT_NE(message_of({{"renormalise", 1}}).find("true or false"), std::string::npos);
  EXPECT_NE(message_of(gw::Json::array({1})).find("expected a table"), std::string::npos);
}

// Radii of attacks are quoted in steps of a pixel: 8/255.
TEST(Options, APartMayBeGivenByItsNameAlone) {
  struct Owner : gw::OptionSet {
    gw::PartChoice gate = "linear";
    void fields(gw::OptionVisitor& v) override { v.part("gate", gate, "the router"); }
  } owner;
  gw::parse_options("p", {{"gate", "cosine"}}, owner);
  EXPECT_EQ(owner.gate.json(), gw::Json({{"part", "cosine"}}));
  for (const auto& wrong :
       {gw::Json("not a name"), gw::Json(""), gw::Json(3), gw::Json("{\"part\":\"cosine\"}")}) {
    EXPECT_THROW(gw::parse_options("p", {{"gate", wrong}}, owner), gw::ValueError) << wrong;
  }
}

// A table, a part, a list of parts and lists of numbers: read, stored and shown.
struct Inner : gw::OptionSet {
  int64_t steps = 2;
  void fields(gw::OptionVisitor& v) override { v.integer("steps", steps, "of the inner loop", 1, 9); }
};
struct Outer : gw::OptionSet {
  gw::Nested<Inner> inner;
  gw::OptionTable free;
  gw::PartChoice gate = {"linear", {{"bias", true}}}, none;
  std::vector<gw::PartChoice> balancers;
  std::vector<std::vector<int64_t>> groups;
  void fields(gw::OptionVisitor& v) override {
    v.table("inner", inner, "the inner loop"), v.table("free", free, "anything");
    v.part("gate", gate, "the router"), v.part("none", none, "left out"), v.parts("balancers", balancers, "");
    v.integer_lists("groups", groups, "labels", 0, 9);
  }
};

std::string refusal_of(const gw::Json& values) {
  Outer outer;
  try {
    gw::parse_options("p", values, outer);
  } catch (const gw::ValueError& error) {
    return error.what();
  }
  return "";
}

TEST(Options, NestedOnesAreReadAndKeptAsGiven) {
  Outer outer;
  const gw::Json given{{"inner", {{"steps", 3}}},
                       {"free", {{"a", {1, 2}}}},
                       {"gate", {{"part", "cosine"}, {"k", 2}}},
                       {"none", gw::Json::object()},
                       {"balancers", gw::Json::array({"z_loss", {{"part", "load_cv"}, {"weight", 2}}})},
                       {"groups", gw::Json::array({{5, 7}, gw::Json::array()})}};
  gw::parse_options("p", given, outer);
  EXPECT_EQ(outer.inner->steps, 3);
  EXPECT_EQ(outer.gate.name, "cosine");
  EXPECT_EQ(outer.gate.options, (gw::Json{{"k", 2}}));
  EXPECT_TRUE(outer.none.empty());
  ASSERT_EQ(outer.balancers.size(), 2u);
  EXPECT_EQ(outer.balancers[1].options, (gw::Json{{"weight", 2}}));
  EXPECT_EQ(outer.groups, (std::vector<std::vector<int64_t>>{{5, 7}, {}}));
  EXPECT_EQ(gw::write_options(outer), given);
  Outer fresh;
  EXPECT_EQ(gw::write_options(fresh)["inner"], gw::Json::object()) << "defaults are not written out";
  EXPECT_EQ(gw::describe_options(fresh)[2].default_value, R"({"part":"linear","bias":true})");
}

TEST(Options, BalancersOfOlderRecipesAreTablesAsText) {
  Outer outer;
  gw::parse_options("p", {{"balancers", gw::Json::array({R"({"part":"z_loss","weight":2})"})}}, outer);
  EXPECT_EQ(outer.balancers[0].name, "z_loss");
}

TEST(Options, SlipsInNestedOnesNameTheOptionAndTheNearMiss) {
  EXPECT_EQ(refusal_of({{"inner", {{"stpes", 3}}}}),
            "p inner: unknown option \"stpes\"; did you mean \"steps\"?");
  EXPECT_EQ(refusal_of({{"inner", {{"steps", 10}}}}),
            "p inner: expected \"steps\" (of the inner loop) in 1 … 9, got 10");
  EXPECT_NE(refusal_of({{"inner", "steps"}}).find("expected a table for \"inner\""), std::string::npos);
  EXPECT_NE(refusal_of({{"gate", {{"prt", "cosine"}}}}).find("p gate: expected a part's name"),
            std::string::npos);
  EXPECT_NE(refusal_of({{"gate", gw::Json::object()}}).find("p gate: expected a part's name"),
            std::string::npos);
  EXPECT_NE(refusal_of({{"balancers", "z_loss"}}).find("expected a list of parts"), std::string::npos);
  EXPECT_NE(refusal_of({{"groups", gw::Json::array({{1, 10}})}}).find("in 0 … 9, got 10"), std::string::npos);
  EXPECT_NE(refusal_of({{"groups", gw::Json::array({1})}}).find("expected lists of integers"),
            std::string::npos);
}

TEST(Options, NumbersMayBeFractions) {
  Sample sample;
  gw::parse_options("p", {{"jitter", "8/255"}}, sample);
  EXPECT_EQ(sample.jitter, 8.0 / 255.0);
  EXPECT_EQ(gw::option_from_text("p", sample, "jitter", "1/4"), (gw::Json{{"jitter", 0.25}}));
  for (const char* wrong : {"8/0", "/255", "8/", "8/255/2", "a/b", "0.5", "nan/1", "1 /2", ""}) {
    EXPECT_NE(message_of({{"jitter", wrong}}).find("expected a number for \"jitter\""), std::string::npos)
        << wrong;
  }
  EXPECT_NE(message_of({{"k", "4/2"}}).find("expected an integer"), std::string::npos);
}

TEST(Options, ReadsCommandLineText) {
  Sample sample;
  EXPECT_EQ(gw::option_from_text("p", sample, "k", "8"), (gw::Json{{"k", 8}}));
  EXPECT_EQ(gw::option_from_text("p", sample, "score", "sigmoid"), (gw::Json{{"score", "sigmoid"}}));
  EXPECT_THROW(gw::option_from_text("p", sample, "k", "eight"), gw::ValueError);
  EXPECT_THROW(gw::option_from_text("p", sample, "kk", "8"), gw::ValueError);
}

}  // namespace
