// Tables as columns of numbers: factors, missing values, classes, and what is refused.
#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/base/json.h"
#include "gatewright/data/frame.h"
#include "tests/support/refusal.h"

namespace gw::test::frame_cases {

using gw::CsvTable;
using gw::Frame;
using gw::FrameOptions;
using gw::make_frame;
using Names = std::vector<std::string>;

TEST(Frame, FactorsBecomeColumnsAndNameTheirReference) {
  const CsvTable table("y,x,colour,w\n1,2,red,1\n2,3,blue,2\n4,5,green,0.5\n", "t.csv");
  FrameOptions options;
  options.response = "y", options.weights = "w";
  const Frame frame = make_frame(table, options);
  EXPECT_EQ(frame.schema.columns(), (Names{"x", "colour=green", "colour=red"}));
  EXPECT_EQ(frame.schema.terms[1].levels.front(), "blue");
  EXPECT_EQ(frame.x, (std::vector<double>{2, 0, 1, 3, 0, 0, 5, 1, 0}));
  EXPECT_EQ(frame.weight, (std::vector<double>{1, 2, 0.5}));
  EXPECT_EQ(frame.schema.columns_of({"colour"}), (std::vector<int64_t>{1, 2}));

  // Other rows in the same way, after a journey through a file.
  const auto schema = gw::schema_from_json(Json::parse(gw::to_json(frame.schema).dump()), "model");
  const CsvTable other("colour,x\nred,9\n", "u.csv");
  EXPECT_EQ(gw::apply_schema(other, schema, false, false).x, (std::vector<double>{9, 0, 1}));
  const CsvTable unknown("colour,x\nrod,9\n", "u.csv");
  const auto message = refusal<gw::ValueError>([&] { gw::apply_schema(unknown, schema, false, false); });
  EXPECT_NE(message.find("line 2, column \"colour\": unknown level \"rod\"; did you mean \"red\"?"),
            std::string::npos)
      << message;
}

TEST(Frame, MissingValuesAreRefusedOrDropped) {
  const CsvTable table("y,x\n1,2\nNA,3\n3,\n4,5\n", "t.csv");
  FrameOptions options;
  options.response = "y";
  const auto message = refusal<gw::ValueError>([&] { make_frame(table, options); });
  EXPECT_NE(message.find("line 3, column \"y\": the value is missing"), std::string::npos) << message;
  options.drop_missing = true;
  const Frame frame = make_frame(table, options);
  EXPECT_EQ(frame.row, (std::vector<int64_t>{0, 3}));
  EXPECT_EQ(frame.dropped, 2);
}

TEST(Frame, RefusesTextAmongNumbers) {
  const CsvTable table("y,x\n1,2\n2,3\n3,4O\n", "t.csv");
  FrameOptions options;
  options.response = "y";
  const auto message = refusal<gw::ValueError>([&] { make_frame(table, options); });
  EXPECT_NE(message.find("line 4, column \"x\": expected a number, got \"4O\""), std::string::npos)
      << message;
  options.factors = {"x"};
  EXPECT_EQ(make_frame(table, options).schema.columns().size(), 2u);
  // A response and weights are no factors: each has a remedy of its own.
  const CsvTable roles("y,x,w\n1,2,1\nlow,3,1\n3,4,many\n", "t.csv");
  FrameOptions weighted;
  weighted.response = "y", weighted.weights = "w";
  EXPECT_TRUE(refusal<gw::ValueError>([&] {
                make_frame(roles, weighted);
              }).ends_with("got \"low\"; mend the cell, or explain classes (family = multinomial)"));
  weighted.response = "x", weighted.factors = {"y"};
  EXPECT_TRUE(
      refusal<gw::ValueError>([&] { make_frame(roles, weighted); }).ends_with("got \"many\"; mend the cell"));
  options.inputs = {"y"};
  EXPECT_NE(refusal<gw::ValueError>([&] { make_frame(table, options); }).find("cannot explain itself"),
            std::string::npos);
}

TEST(Frame, ClassesAreSortedAndCounted) {
  const CsvTable table("k,x\nb,1\na,2\nb,3\n", "t.csv");
  FrameOptions options;
  options.response = "k", options.classes = true;
  const Frame frame = make_frame(table, options);
  EXPECT_EQ(frame.schema.classes, (Names{"a", "b"}));
  EXPECT_EQ(frame.y, (std::vector<double>{1, 0, 1}));
}

TEST(Frame, RefusesIdentifiersAsFactors) {
  std::string bytes = "y,id\n";
  for (int i = 0; i < 200; ++i) bytes += std::to_string(i) + ",p" + std::to_string(i) + "\n";
  const CsvTable table(bytes, "t.csv");
  FrameOptions options;
  options.response = "y";
  EXPECT_NE(refusal<gw::ValueError>([&] { make_frame(table, options); }).find("is it an identifier?"),
            std::string::npos);
}

// Levels and classes are those of rows that are read: one of a dropped row would be a constant column, or a
// class that nobody has.
TEST(Frame, RowsLeftOutGiveNoLevelsAndNoClasses) {
  FrameOptions options;
  options.response = "y", options.drop_missing = true;
  EXPECT_EQ(make_frame(CsvTable("y,g\n1,a\n2,b\n4,b\nNA,c\n", "t.csv"), options).schema.columns(),
            (Names{"g=b"}));
  EXPECT_EQ(make_frame(CsvTable("y,g\n1,b\n2,c\n4,b\nNA,a\n", "t.csv"), options).schema.columns(),
            (Names{"g=c"}));
  FrameOptions weighted;
  weighted.response = "y", weighted.weights = "w";
  const Frame frame = make_frame(CsvTable("y,g,w\n1,a,1\n2,b,1\n4,b,2\n9,c,0\n,a,0\n", "t.csv"), weighted);
  EXPECT_EQ(frame.schema.columns(), (Names{"g=b"}));
  EXPECT_EQ(frame.row, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(frame.weightless, 2);
  EXPECT_EQ(frame.dropped, 0);
  FrameOptions classes;
  classes.response = "k", classes.classes = true, classes.drop_missing = true;
  EXPECT_EQ(make_frame(CsvTable("k,x\nlow,1\nmid,2\nhigh,NA\n", "t.csv"), classes).schema.classes,
            (Names{"low", "mid"}));
}

TEST(Frame, ColumnsThatLookLikeNumbersAreNoFactors) {
  FrameOptions options;
  options.response = "y";
  const auto frame_of = [&](const std::vector<std::string>& cells) {
    std::string bytes = "y;x\n";
    for (size_t i = 0; i < cells.size(); ++i) bytes += std::to_string(i) + ";" + cells[i] + "\n";
    return make_frame(CsvTable(bytes, "t.csv"), options);
  };
  const std::vector<std::vector<std::string>> refused{{"1,500,000", "2,250,000"},
                                                      {"500,000", "1,500,000"},
                                                      {"1'500", "2'500"},
                                                      {"1 500", "2 500"},
                                                      {"5 %", "6 %"},
                                                      {"$5", "$6"},
                                                      {"5 kg", "6 kg"},
                                                      {"\u22125", "\u22126"},
                                                      {"<0.5", "<0.7"},
                                                      {"2024-01-31", "2024-02-01"},
                                                      {"31.1.2024", "1.2.2024"},
                                                      {"0x10", "0x11"}};
  for (const auto& cells : refused) {
    const auto message = refusal<gw::ValueError>([&] { frame_of(cells); });
    EXPECT_NE(message.find("line 2, column \"x\": expected a number, got \"" + cells[0] +
                           "\": every value of the column looks like"),
              std::string::npos)
        << message;
    EXPECT_NE(message.find("name the column among the factors"), std::string::npos) << message;
    options.factors = {"x"};
    EXPECT_EQ(frame_of(cells).schema.columns().size(), 1u);
    options.factors.clear();
  }
  for (const auto& cells : std::vector<std::vector<std::string>>{
           {"10-19", "20-29"}, {"1st", "2nd"}, {"A1", "A2"}, {"18+", "65+"}, {"low", "high"}}) {
    EXPECT_EQ(frame_of(cells).schema.columns().size(), 1u) << cells[0];
  }
}

TEST(Frame, ColumnsWithoutANameAreNoInputs) {
  for (const char* head : {"", "\"\"", "Unnamed: 0"}) {
    const CsvTable table(std::string(head) + ",y,x\n1,3,5\n2,4,7\n3,5,6\n", "t.csv");
    FrameOptions options;
    options.response = "y";
    const auto frame = make_frame(table, options);
    EXPECT_EQ(frame.schema.columns(), (Names{"x"}));
    EXPECT_EQ(frame.unnamed.size(), 1u);
    options.inputs = {frame.unnamed[0], "x"};
    EXPECT_EQ(make_frame(table, options).schema.columns().size(), 2u);
  }
}

TEST(Frame, EqualNumbersAreOneLevel) {
  FrameOptions options;
  options.response = "y", options.factors = {"g", "zip"};
  const CsvTable table("y,g,zip\n1,1,01\n2,1.0,1\n3,2,01\n4,2.00,1\n5,+1,1\n", "t.csv");
  const auto frame = make_frame(table, options);
  EXPECT_EQ(frame.schema.terms[0].levels, (Names{"1", "2"}));
  EXPECT_EQ(frame.schema.terms[1].levels, (Names{"01", "1"}));  // digits after a 0 are an identifier
  auto schema = frame.schema;
  schema.terms[0].levels = {"1.0", "2"};  // a model file of before
  EXPECT_EQ(gw::apply_schema(CsvTable("g,zip\n1.0,1\n2.0,01\n", "n.csv"), schema, false, false).x,
            (std::vector<double>{0, 1, 1, 0}));
}

}  // namespace gw::test::frame_cases
