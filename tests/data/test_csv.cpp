#include <gtest/gtest.h>

#include <chrono>

#include "gatewright/data/frame.h"
#include "tests/data/temp_directory.h"
#include "tests/fuzz/check_csv.h"
#include "tests/fuzz/replay.h"
#include "tests/support/refusal.h"

namespace gw::test::csv_cases {

using gw::CsvTable;
using gw::FrameOptions;
using gw::make_frame;
using Names = std::vector<std::string>;

void expect_refused(const std::string& bytes, const std::string& part) {
  const auto message = refusal<gw::ValueError>([&] { CsvTable(bytes, "t.csv"); });
  EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(Csv, ReadsQuotesSeparatorsAndLineEnds) {
  const CsvTable table("\xEF\xBB\xBFname;\"a \"\"b\"\"\";z\r\n\"x;\r\ny\"; 2 ;\"\"\r\n\r\n\"\"\"\";3;4",
                       "t.csv");
  EXPECT_EQ(table.header(), (Names{"name", "a \"b\"", "z"}));
  ASSERT_EQ(table.rows(), 2);
  EXPECT_EQ(table.cell(0, 0), "x;\r\ny");
  EXPECT_EQ(table.cell(0, 1), "2");
  EXPECT_EQ(table.cell(0, 2), "");
  EXPECT_EQ(table.cell(1, 0), "\"");
  EXPECT_EQ(table.line(0), 2);
  EXPECT_EQ(table.line(1), 5);
}

TEST(Csv, NamesLineAndColumnOfWhatIsWrong) {
  expect_refused("a,b\n1,2\n3\n", "line 3: expected 2 cells as in the header, got 1");
  expect_refused("a,b\n1,\"2\n", "a quote is opened and never closed");
  expect_refused("a,b\n1,\"2\"x\n", "line 2: expected a separator");
  expect_refused("a,a\n1,2\n", "names \"a\" twice");
  expect_refused("a,b\n", "got none");
  expect_refused("", "empty file");
  expect_refused(std::string("a,b\n1,\0002\n", 9), "byte 6 is zero");
  const CsvTable table("age,sex\n1,2\n", "t.csv");
  EXPECT_NE(refusal<gw::ValueError>([&] { table.column("aeg"); }).find("did you mean \"age\"?"),
            std::string::npos);
}

TEST(Csv, NumbersAndMissingValues) {
  double value = 0;
  EXPECT_TRUE(gw::parse_number(" +1.5e3 ", value));
  EXPECT_EQ(value, 1500);
  for (const auto* text : {"", "1,5", "12a", "inf", "nan", "1e999", "0x10", "--1"})
    EXPECT_FALSE(gw::parse_number(text, value)) << text;
  for (const auto* text : {"", "NA", "n/a", "NaN", "null", "."}) EXPECT_TRUE(gw::is_missing(text)) << text;
  EXPECT_FALSE(gw::is_missing("nasty"));
}

// Quoted commas alone would pass for a factor with a level for each value.
TEST(Csv, DecimalCommasAreNamedAndReadWhenAskedFor) {
  FrameOptions options;
  options.response = "y";
  const auto read = [&](const char* bytes, char decimal) {
    gw::CsvOptions csv;
    csv.decimal = decimal;
    return make_frame(CsvTable(bytes, "t.csv", csv), options);
  };
  const char *quoted = "y,x\n1,\"1,5\"\n2,\"2,25\"\n3,\"4,5\"\n",
             *semicolons = "y;x\n1;7\n2;2,25\n3;-4,5e1\n", *points = "y;x\n1,5;7.5\n2;3\n";
  const std::string remedy =
      "a comma stands where a point is expected; if it is the decimal sign, read the table with decimal = "
      "\",\"";
  for (const auto& [bytes, place] :
       {std::pair{quoted, "line 2, column \"x\": expected a number, got \"1,5\": "},
        {semicolons, "line 3, column \"x\": expected a number, got \"2,25\": "}}) {
    const auto message = refusal<gw::ValueError>([&, of = bytes] { read(of, '.'); });
    EXPECT_NE(message.find(place + remedy), std::string::npos) << message;
  }
  EXPECT_EQ(read(quoted, ',').x, (std::vector<double>{1.5, 2.25, 4.5}));
  EXPECT_EQ(read(semicolons, ',').x, (std::vector<double>{7, 2.25, -45}));
  const auto message = refusal<gw::ValueError>([&] { read(points, ','); });
  EXPECT_NE(
      message.find(
          "line 2, column \"x\": expected a number, got \"7.5\": a point stands where a comma is expected"),
      std::string::npos)
      << message;
  EXPECT_NE(refusal<gw::ValueError>([&] {
              read("y;x\n1;2\n2;1.234,5\n", ',');
            }).find("expected a number, got \"1.234,5\"; mend"),
            std::string::npos);
  // Cells without quotes fall apart; the separator can be told where the header misleads.
  EXPECT_NE(refusal<gw::ValueError>([&] { read("y,x\n1,5,2,5\n", '.'); })
                .find("line 2: expected 2 cells as in the header, got 4; is a quote or a separator missing, "
                      "or is the comma decimal?"),
            std::string::npos);
  const CsvTable misleading("weight, kg;height, cm\n1;2\n", "t.csv", {';'});
  EXPECT_EQ(misleading.header(), (Names{"weight, kg", "height, cm"}));
  // Asked for, such cells are levels.
  options.factors = {"x"};
  EXPECT_EQ(read(quoted, '.').schema.columns(), (Names{"x=2,25", "x=4,5"}));
}

// Memory and time follow the limits, not the file: what would exceed them is refused with their number and
// the line.
TEST(Csv, RefusesMoreThanTheLimits) {
  const auto read = [](const std::string& bytes, int64_t columns, int64_t cells) {
    gw::CsvOptions options;
    options.limit_columns = columns, options.limit_cells = cells;
    return refusal<gw::ValueError>([&] { CsvTable(bytes, "t.csv", options); });
  };
  EXPECT_EQ(read("y,x\n1,2\n3,4\n", 2, 4), "accepted");
  EXPECT_NE(read("y,x\n1,2\n3,4\n5,6\n", 2, 4)
                .find("line 4: expected a table of at most 4 cells (2 rows of 2 columns), got more"),
            std::string::npos)
      << read("y,x\n1,2\n3,4\n5,6\n", 2, 4);
  EXPECT_NE(read("y,x,z\n1,2,3\n", 2, 99).find("expected at most 2 columns, got more"), std::string::npos);
  EXPECT_NE(read("y,x\n1,2,3\n", 2, 99).find("expected at most 2 columns, got more"), std::string::npos);
  const std::string longest(size_t{1} << 24, 'a');
  EXPECT_NE(read("y,x\n" + longest + ",2\n", 2, 99).find("expected cells of at most 16777215 bytes"),
            std::string::npos);
  const CsvTable doubled("y,x\n\"a\"\"b\"\"\",\"\"\n", "t.csv");
  EXPECT_EQ(doubled.cell(0, 0), "a\"b\"");
  EXPECT_EQ(doubled.cell(0, 1), "");
}

TEST(Csv, BlanksStandAroundQuotes) {
  const CsvTable table("y, x\n1, \"2\"\n3, \"a, b\" \n", "t.csv");
  EXPECT_EQ(table.cell(0, 1), "2");
  EXPECT_EQ(table.cell(1, 1), "a, b");
  expect_refused("y,x\n1, \"2\"3\n", "line 2: expected a separator");
}

TEST(Csv, RefusesWhatIsNotUtf8) {
  expect_refused(
      "y,gr\xF6\xDF"
      "e\n1,2\n",
      "line 1: expected text in UTF-8, got the byte 0xf6");
  expect_refused("y,x\n1,B\xE4r\n", "line 2: expected text in UTF-8, got the byte 0xe4");
  EXPECT_EQ(CsvTable("y,gr\u00F6\u00DFe\n1,2\n", "t.csv").header()[1], "gr\u00F6\u00DFe");
}

TEST(Csv, BlankFirstLinesAndLinesThatEndWithCr) {
  EXPECT_EQ(CsvTable("\n \r\ny;x\n1;2\n", "t.csv").header(), (Names{"y", "x"}));
  const CsvTable table("y,x\r1,2\r3,4\r", "t.csv");
  EXPECT_EQ(table.rows(), 2);
  EXPECT_EQ(table.cell(1, 1), "4");
}

TEST(Csv, FormsOfNumbers) {
  double value = 1;
  for (const auto* text : {"1e-400", "-1e-400", "0.0000001e-999", "1e-99999999999999999999"}) {
    EXPECT_TRUE(gw::parse_number(text, value)) << text;
    EXPECT_EQ(value, 0) << text;
  }
  for (const auto* text : {"+-5", "1e400", "1e99999999999999999999", "+"})
    EXPECT_FALSE(gw::parse_number(text, value)) << text;
  EXPECT_FALSE(gw::parse_number("1" + std::string(400, '0') + "e-1", value));
  for (const auto* text : {"-nan", "-NaN", "+nan"}) EXPECT_TRUE(gw::is_missing(text)) << text;
  for (const auto* text : {"-na", "-", "-.", "-5"}) EXPECT_FALSE(gw::is_missing(text)) << text;
}

// What spreadsheets, R and pandas write around their tables.
TEST(Csv, SeparatorLinesBarsAndComments) {
  const CsvTable told("sep=;\r\ny;x,1\n1;2\n", "t.csv");
  EXPECT_EQ(told.header(), (Names{"y", "x,1"}));
  EXPECT_EQ(told.line(0), 3);
  EXPECT_EQ(CsvTable("sep=\t\ny\tx\n1\t2\n", "t.csv").header(), (Names{"y", "x"}));
  EXPECT_EQ(CsvTable("y|x\n1|2\n", "t.csv").header(), (Names{"y", "x"}));
  EXPECT_EQ(CsvTable("y,a|b\n1,2\n", "t.csv").header(), (Names{"y", "a|b"}));
  gw::CsvOptions options;
  options.comment = '#';
  const CsvTable commented("# a; b; c\n#x\ny,x\n1,2\n# 3,4\n5,6\n", "t.csv", options);
  EXPECT_EQ(commented.header(), (Names{"y", "x"}));
  EXPECT_EQ(commented.rows(), 2);
  EXPECT_EQ(commented.line(1), 6);
  const CsvTable plain("#y,x\n1,2\n", "t.csv");  // a name may begin so
  EXPECT_NE(refusal<gw::ValueError>([&] { plain.column("y"); }).find("give the option comment"),
            std::string::npos);
  const CsvTable blanks("y x\n1 2\n", "t.csv");
  EXPECT_NE(refusal<gw::ValueError>([&] { blanks.column("y"); }).find("blanks are none"), std::string::npos);
}

TEST(Csv, MarksOfMissingValuesMayBeNamed) {
  const std::string text = "y,x,g\n1,2,NA\n2,?,a\n3,4,NA\n4,5,a\n";
  FrameOptions frame;
  frame.response = "y", frame.drop_missing = true;
  frame.inputs = {"x"};
  EXPECT_NE(
      refusal<gw::ValueError>([&] { make_frame(CsvTable(text, "t.csv"), frame); }).find("missing marks"),
      std::string::npos);
  frame.inputs = {};
  gw::CsvOptions options;
  options.missing = Names{"?"};
  const auto read = make_frame(CsvTable(text, "t.csv", options), frame);
  EXPECT_EQ(read.dropped, 1);
  EXPECT_EQ(read.schema.terms[1].levels, (Names{"NA", "a"}));  // NA is Namibia here
}

TEST(Csv, NoEscapeSequenceReachesAMessage) {
  const auto header =
      refusal<gw::ValueError>([] { CsvTable("\x1b]0;own\x07,x\n1,2\n", "t.csv").column("y\x1b[31m"); });
  const auto cell = refusal<gw::ValueError>([] {
    FrameOptions options;
    options.response = "y";
    make_frame(CsvTable("y,x\n1,2\n2,\x1b[31mred\u202E\n", "t.csv"), options);
  });
  for (const auto& message : {header, cell}) EXPECT_EQ(message.find('\x1b'), std::string::npos) << message;
  EXPECT_NE(cell.find("\\x1b[31mred\\xe2\\x80\\xae"), std::string::npos) << cell;
}

class CsvFile : public gw::test::TempDirectory {};

TEST_F(CsvFile, PlainAndCompressedAreTheSame) {
  const std::string bytes = "y,x\n1,2\n3,4\n";
  const auto plain = gw::load_csv(file("a.csv", bytes)),
             packed = gw::load_csv(file("a.csv.gz", gw::test::gzip(bytes)));
  EXPECT_EQ(plain.cell(1, 1), packed.cell(1, 1));
  EXPECT_THROW(gw::load_csv(directory_ + "/none.csv"), gw::IoError);
  EXPECT_THROW(gw::load_csv(file("b.csv", bytes), {0, 5, 10}), gw::ValueError);
}

// 0.3 MB that stand for 300 MB, as one member and as three hundred: refused at the limit of 256 MiB, and rows
// before they fill the memory.
TEST_F(CsvFile, SlowABombIsRefusedInBoundedTime) {
  std::string piece, whole = "y,x\n";
  while (piece.size() < 1000000) piece += "1,2\n";
  const std::string header = gw::test::gzip(whole), member = gw::test::gzip(piece);
  std::string many = header, rows = header;
  for (int i = 0; i < 300; ++i) whole += piece, many += member, rows += i < 40 ? member : "";
  for (const auto& path : {file("one.gz", gw::test::gzip(whole)), file("many.gz", many)}) {
    const auto started = std::chrono::steady_clock::now();
    EXPECT_NE(refusal<gw::ValueError>([&] {
                gw::load_csv(path);
              }).find("expected at most 268435456 bytes of content, got more"),
              std::string::npos);
    EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(10));
  }
  const auto message = refusal<gw::ValueError>([&] { gw::load_csv(file("rows.gz", rows)); });
  EXPECT_NE(message.find("expected a table of at most 16777216 cells (8388608 rows of 2 columns)"),
            std::string::npos)
      << message;
}

TEST(Csv, SurvivesTheCorpusAndItsMutants) {
  const auto counts =
      gw::test::replay("csv", 10000, [](std::string_view bytes) { return gw::test::check_csv(bytes); });
  EXPECT_GT(counts.accepted, 500);
  EXPECT_GT(counts.refused, 500);
}

}  // namespace gw::test::csv_cases
