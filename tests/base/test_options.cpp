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
    std::string gate = R"({"part":"linear"})";
    void fields(gw::OptionVisitor& v) override { v.table("gate", gate, "the router"); }
  } owner;
  gw::parse_options("p", {{"gate", "cosine"}}, owner);
  EXPECT_EQ(gw::Json::parse(owner.gate), gw::Json({{"part", "cosine"}}));
  for (const auto& wrong :
       {gw::Json("not a name"), gw::Json(""), gw::Json(3), gw::Json("{\"part\":\"cosine\"}")}) {
    EXPECT_THROW(gw::parse_options("p", {{"gate", wrong}}, owner), gw::ValueError) << wrong;
  }
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
