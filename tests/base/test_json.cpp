// The JSON value: what readers and writers of recipes, logs and results rely on.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "gatewright/base/json.h"

namespace {

using gw::Json;
using gw::JsonError;

TEST(Json, BracesMakeObjectsOfPairsAndListsOfTheRest) {
  EXPECT_EQ((Json{{"k", 2}, {"name", "x"}}).dump(), R"({"k":2,"name":"x"})");
  EXPECT_EQ((Json{1, "two", nullptr, true, 0.5}).dump(), R"([1,"two",null,true,0.5])");
  EXPECT_EQ((Json{{"a", {{"b", Json::array()}}}}).dump(), R"({"a":{"b":[]}})");
  EXPECT_EQ(Json(std::vector<int64_t>{3, 1}).dump(), "[3,1]");
  EXPECT_EQ(Json(std::map<std::string, double>{{"x", 1}}).dump(), R"({"x":1.0})");
}

TEST(Json, KeysAreSortedAndNumbersAreReadBackEqual) {
  const double third = 1.0 / 3;
  const Json json{{"z", third}, {"a", std::numeric_limits<uint64_t>::max()}, {"m", INT64_MIN}};
  EXPECT_EQ(json.dump(), R"({"a":18446744073709551615,"m":-9223372036854775808,"z":0.3333333333333333})");
  EXPECT_EQ(Json::parse(json.dump()), json);
  EXPECT_EQ(Json::parse(json.dump())["z"].get<double>(), third);
  EXPECT_EQ(Json(1), Json(1.0));
  EXPECT_NE(Json(-1), Json(std::numeric_limits<uint64_t>::max()));
}

// A copy of the part must be taken before the whole goes.
TEST(Json, MayBecomeAPartOfItself) {
  Json json{{"outer", {{"inner", "x"}}}};
  json = json["outer"];
  EXPECT_EQ(json, (Json{{"inner", "x"}}));
  json["self"] = json;
  EXPECT_EQ(json.dump(), R"({"inner":"x","self":{"inner":"x"}})");
}

TEST(Json, WritingMakesKeysAndReadingDoesNot) {
  Json json;
  json["a"]["b"] = 1;
  json["list"].push_back("x");
  EXPECT_EQ(json.dump(), R"({"a":{"b":1},"list":["x"]})");
  const Json& given = json;
  EXPECT_THROW(given["missing"], JsonError);
  EXPECT_THROW(given.at("list").at(1), JsonError);
  EXPECT_THROW(given["list"]["key"], JsonError);
  EXPECT_THROW(json["list"]["key"] = 1, JsonError);
  EXPECT_EQ(given.value("missing", 7), 7);
  EXPECT_EQ(given.value("missing", "text"), "text");
  EXPECT_THROW(given.value("list", 7), JsonError);
}

TEST(Json, ValuesOfAnotherTypeAreRefusedByName) {
  try {
    Json{{"k", "two"}}["k"].get<int64_t>();
    FAIL() << "taken";
  } catch (const JsonError& error) {
    EXPECT_STREQ(error.what(), "expected a number, got string \"two\"");
  }
  EXPECT_THROW(Json(1).get<bool>(), JsonError);
  EXPECT_THROW(Json("x").get<std::vector<double>>(), JsonError);
  EXPECT_EQ((Json{1, 2.5}).get<std::vector<double>>(), (std::vector<double>{1, 2.5}));
}

TEST(Json, LoopsOverKeysAndPlaces) {
  std::string seen;
  const Json object{{"b", 2}, {"a", 1}}, list{"x", "y"};
  for (const auto& [key, value] : object.items()) seen += key + value.dump();
  for (const auto& [place, value] : list.items()) seen += place + value.text();
  EXPECT_EQ(seen, "a1b20x1y");
  int64_t sum = 0;
  for (const auto& value : Json{1, 2, 3}) sum += value.get<int64_t>();
  EXPECT_EQ(sum, 6);
  for (const auto& value : Json()) FAIL() << value;
}

TEST(Json, UpdateReplacesAndEraseRemoves) {
  Json json{{"a", 1}, {"b", 2}};
  json.update({{"b", 3}, {"c", 4}});
  json.erase("a");
  json.erase("a");
  EXPECT_EQ(json, (Json{{"b", 3}, {"c", 4}}));
}

TEST(Json, TextThatIsNoJsonIsNothing) {
  for (const std::string text : {"", "{", "[1,]", "NaN", "{\"a\":1,\"a\":2}", "1 2"}) {
    EXPECT_FALSE(Json::parsed(text).has_value()) << text;
    EXPECT_THROW(Json::parse(text), JsonError) << text;
  }
  EXPECT_FALSE(Json::parsed(std::string(100, '[') + std::string(100, ']')).has_value());
  EXPECT_THROW(Json("\xff").dump(), JsonError);
  EXPECT_EQ(gw::dump_json(Json("\xff")), "\"\xEF\xBF\xBD\"");
}

}  // namespace
