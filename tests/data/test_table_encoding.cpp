// Tables as they are: text, empty cells, rare and unseen levels, and what is refused.
#include <ATen/ATen.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <fstream>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/data/table_encoding.h"
#include "tests/data/temp_directory.h"

namespace gw::test::table_encoding_cases {

std::vector<int64_t> first_rows(int64_t count) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back(i);
  return rows;
}

EncodingOptions rare_below(int64_t rows) {
  EncodingOptions options;
  options.rare = rows;
  return options;
}

TableEncoding learned(const CsvTable& table, EncodingOptions options, int64_t training,
                      std::vector<std::string>* told = nullptr) {
  std::vector<std::string> notes;
  if (options.response.empty()) options.response = "y";
  const auto target = read_target(table, options.response, "auto");
  auto out = learn_encoding(table, options, target, first_rows(training), notes);
  if (told != nullptr) *told = notes;
  return out;
}

template <class Call>
void refused(const Call& call, const std::string& words) {
  try {
    call();
    ADD_FAILURE() << "accepted; expected: " << words;
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

// Fails if a number of two values is bent at quantiles, or if a saved encoding forgets that it is not.
TEST(TableEncoding, NumbersOfTwoValuesAreNotAmongThoseThatBend) {
  const CsvTable table("y,flag,three,gap\na,0,1,5\nb,1,2,7\na,1,3,\nb,0,1,5\na,1,2,7\nb,0,3,5\n",
                       "flags.csv");
  const auto encoding = learned(table, {}, 6);
  EXPECT_TRUE(encoding.columns[0].switched);
  EXPECT_FALSE(encoding.columns[1].switched);
  EXPECT_TRUE(encoding.columns[2].switched) << "an empty cell is no third value";
  EXPECT_EQ(encoding.numeric(), (std::vector<int64_t>{1}));
  auto json = to_json(encoding);
  EXPECT_EQ(table_encoding_from_json(json, "here").numeric(), (std::vector<int64_t>{1}));
  for (auto& column : json["columns"]) column.erase("switched");
  EXPECT_EQ(table_encoding_from_json(json, "here").numeric(), (std::vector<int64_t>{0, 1, 2}))
      << "models of before";
}

// Training rows are the first six; the last three hold what training never saw.
const char* const kMixed =
    "y,size,colour\n"
    "a,1,red\nb,2,red\na,3,red\nb,,blue\na,5,blue\nb,4,green\n"
    "a,9,violet\nb,3,\na,,green\n";

// Fails if the mean is that of all rows (4.0 over nine cells).
TEST(TableEncoding, NumbersAreStandardisedOverTheTrainingRowsAndEmptyCellsAreTheMean) {
  const CsvTable table(kMixed, "mixed.csv");
  const auto encoding = learned(table, rare_below(2), 6);
  ASSERT_EQ(encoding.columns.size(), 2u);
  EXPECT_DOUBLE_EQ(encoding.columns[0].mean, 3);
  EXPECT_TRUE(encoding.columns[0].missing);
  const auto x = encode_rows(table, encoding, 0, table.rows());
  EXPECT_EQ(x[3][0].item<float>(), 0) << "the mean";
  EXPECT_EQ(x[3][1].item<float>(), 1) << "said to be missing";
  EXPECT_EQ(x[0][1].item<float>(), 0);
  EXPECT_NEAR(x[6][0].item<float>(), 6 / std::sqrt(2.0), 1e-6);
  EXPECT_EQ(encoding.numeric(), (std::vector<int64_t>{0}));
}

TEST(TableEncoding, RareAndUnseenLevelsShareAColumn) {
  const CsvTable table(kMixed, "mixed.csv");
  const auto encoding = learned(table, rare_below(2), 6);
  const auto& colour = encoding.columns[1];
  EXPECT_EQ(colour.levels, (std::vector<std::string>{"blue", "red"}));
  EXPECT_TRUE(colour.rare && !colour.missing);
  const auto x = encode_rows(table, encoding, 0, table.rows()).narrow(1, 2, 3);
  EXPECT_TRUE(x[0].equal(at::tensor({0.0F, 1.0F, 0.0F})));
  for (const int64_t row : {5, 6, 7, 8})  // rare, unseen, missing where training had none missing, rare
    EXPECT_TRUE(x[row].equal(at::tensor({0.0F, 0.0F, 1.0F}))) << row;
}

TEST(TableEncoding, WithoutRareLevelsAnUnseenOneIsNoLevel) {
  const CsvTable table(kMixed, "mixed.csv");
  const auto encoding = learned(table, rare_below(1), 6);
  EXPECT_EQ(encoding.columns[1].width(), 3);
  EXPECT_TRUE(encode_rows(table, encoding, 6, 1)[0].narrow(0, 2, 3).eq(0).all().item<bool>());
}

TEST(TableEncoding, AMissingCellIsALevelWhereTrainingHadOne) {
  const CsvTable table("y,g\na,u\nb,\na,v\nb,u\na,v\nb,w\n", "gaps.csv");
  const auto encoding = learned(table, rare_below(1), 5);
  EXPECT_TRUE(encoding.columns[0].missing);
  EXPECT_TRUE(encode_rows(table, encoding, 1, 1)[0].equal(at::tensor({0.0F, 0.0F, 1.0F})));
  EXPECT_TRUE(encode_rows(table, encoding, 5, 1)[0].eq(0).all().item<bool>()) << "w is unseen";
}

TEST(TableEncoding, SurvivesItsFile) {
  const CsvTable table(kMixed, "mixed.csv");
  const auto encoding = learned(table, rare_below(2), 6);
  const auto again = table_encoding_from_json(Json::parse(dump_json(to_json(encoding))), "table.json");
  EXPECT_TRUE(encode_rows(table, again, 0, 9).equal(encode_rows(table, encoding, 0, 9)));
  EXPECT_EQ(again.classes, encoding.classes);
  refused(
      [] {
        table_encoding_from_json({{"response", "y"}}, "t.json");
      },
      "t.json: the description of the columns is damaged");
}

// The table may come in another order, with more columns.
TEST(TableEncoding, ColumnsAreFoundByTheirNames) {
  const CsvTable table(kMixed, "mixed.csv"), other("colour,more,size\nred,7,1\n", "other.csv");
  const auto encoding = learned(table, rare_below(2), 6);
  EXPECT_TRUE(encode_rows(other, encoding, 0, 1)[0].equal(encode_rows(table, encoding, 0, 1)[0]));
  const CsvTable without("color,size\nred,1\n", "without.csv");
  refused([&] { encode_rows(without, encoding, 0, 1); }, "did you mean \"color\"?");
}

TEST(TableEncoding, SaysWhatItLeavesOut) {
  const CsvTable table("id,,y,one,x,code\nk1,1,a,5,1,A\nk2,2,b,5,2,17\nk3,3,a,5,3,A\nk4,4,b,5,1,17\n",
                       "out.csv");
  std::vector<std::string> notes;
  const auto encoding = learned(table, rare_below(2), 4, &notes);
  ASSERT_EQ(encoding.columns.size(), 2u);
  EXPECT_EQ(encoding.columns[0].name, "x");
  const auto all = fmt::format("{}", fmt::join(notes, "\n"));
  for (const char* words :
       {"left out: column2 (the header gives it no name", "left out: one (always 5",
        "left out: id (4 different texts in 4 rows", "code: 2 cells are text and 2 are numbers"})
    EXPECT_NE(all.find(words), std::string::npos) << words << "\nin\n" << all;
}

TEST(TableEncoding, RefusesWithColumnAndRemedy) {
  const auto table = [](const char* text) { return CsvTable(text, "t.csv"); };
  refused([&] { read_target(table("y,x\n1,2\n2,3\n"), "z", "auto"); }, "no column \"z\"");
  refused([&] { read_target(table("yield,x\n1,2\n2,3\n"), "yeild", "auto"); }, "did you mean \"yield\"?");
  refused([&] { read_target(table("y,x\na,2\na,3\n"), "y", "auto"); },
          "expected at least 2 classes, got only \"a\" in 2 rows");
  refused([&] { read_target(table("y,x\n,2\n,3\n"), "y", "auto"); },
          "expected a response, got no value in 2 rows");
  refused([&] { read_target(table("y,x\nb,2\na,3\n"), "y", "number"); }, "expected numbers, got text: \"b\"");
  const auto empty = table("y,x,z\na,,1\nb,,2\na,5,3\n");
  refused([&] { learned(empty, {}, 2); },
          "column \"x\": every value of the training rows is missing; leave the column out (exclude)");
  EncodingOptions without_x;
  without_x.exclude = {"x"};
  EXPECT_EQ(learned(empty, without_x, 2).columns.size(), 1u);
  std::string typing = "y,x\n";
  for (int i = 0; i < 40; ++i) typing += i % 2 == 0 ? "a," + std::to_string(i) + "\n" : "b,1\n";
  refused([&] { learned(table((typing + "a,?\n").c_str()), {}, 40); },
          "line 42, column \"x\": expected a number as in 40 other cells of the column, got \"?\"; if it "
          "stands for a missing value");
  refused([&] { learned(table("y,x\na,1\nb,1\n"), {}, 2); },
          "expected an input beside the response \"y\", got none");
  const CsvTable good("y,x\na,1\nb,2\n", "good.csv"), bad("x\n1\nmuch\n", "bad.csv");
  refused([&] { encode_rows(bad, learned(good, {}, 2), 0, 2); },
          "csv \"bad.csv\", line 3, column \"x\": expected a number, as in training, got \"much\"");
}

TEST(TableEncoding, TellsClassesFromNumbers) {
  const auto kind = [](const std::string& cells, const char* asked = "auto") {
    return read_target(CsvTable("y\n" + cells, "t.csv"), "y", asked).classes.size();
  };
  std::string many;
  for (int i = 0; i < 30; ++i) many += std::to_string(i) + "\n";
  EXPECT_EQ(kind("0\n1\n1\n"), 2u);
  EXPECT_EQ(kind("1\n1.0\n2\n"), 2u) << "equal numbers are one class";
  EXPECT_EQ(kind("0.5\n1\n2\n"), 0u);
  EXPECT_EQ(kind(many), 0u);
  EXPECT_EQ(kind(many, "class"), 30u);
  EXPECT_EQ(kind("0\n1\n", "number"), 0u);
  EXPECT_EQ(kind("yes\nno\nNA\n"), 2u);
}

class MixedTableFile : public TempDirectory {};

TEST_F(MixedTableFile, EveryClassIsTrainedOnAndTheSplitIsTheSeeds) {
  const auto path = directory_ + "/t.csv";
  {
    std::ofstream out(path);
    out << "y,x\n";
    for (int i = 0; i < 50; ++i) out << (i == 7 ? "rare" : i % 2 == 0 ? "even" : "odd") << ',' << i << '\n';
    out << ",3\n";
  }
  const auto load = [&](int64_t seed) {
    return make_part<Dataset>("mixed_table", {{"path", path}, {"response", "y"}, {"seed", seed}}, {})->load();
  };
  const auto data = load(1);
  EXPECT_EQ(data.train.size() + data.test.size(), 50);
  EXPECT_EQ(data.test.size(), 10);
  EXPECT_EQ(data.class_names, (std::vector<std::string>{"even", "odd", "rare"}));
  EXPECT_EQ(data.train.at("label").eq(2).sum().item<int64_t>(), 1) << "a class of one row is trained on";
  EXPECT_EQ(data.encoding.at("told").at("without_response").get<int64_t>(), 1);
  EXPECT_TRUE(load(1).test.at("x").equal(data.test.at("x")));
  EXPECT_FALSE(load(2).test.at("x").equal(data.test.at("x")));
  const Json few{{"path", path}, {"response", "y"}, {"most_test", 4}};
  EXPECT_EQ(make_part<Dataset>("mixed_table", few, {})->load().test.size(), 4);
}

}  // namespace gw::test::table_encoding_cases
