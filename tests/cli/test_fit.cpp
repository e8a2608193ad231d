// `gatewright fit` and `predict` from outside, on a table that is made here.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "gatewright/base/json.h"
#include "tests/cli/shell.h"

using gw::Json;
using gw::test::cli;
using gw::test::expect;

namespace {

class FitCommand : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "gw_fit_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    std::ofstream out(folder_ + "/data.csv");
    out << "y,x,w\n";
    // Two crossing lines; the second is likelier where x is large. The disturbance is normal, as the model
    // has it: with one that crowds at its ends (a sine) three normal experts are the better density, held out
    // as well, and a criterion that says so is right.
    for (int i = 0; i < 200; ++i) {
      const double x = (i % 50) / 12.5 - 2,
                   radius = std::sqrt(-2 * std::log(std::fmod(0.5 + 0.6180339887 * i, 1.0)));
      const double noise = 0.2 * radius * std::cos(2 * M_PI * std::fmod(0.5 + 0.7548776662 * i, 1.0));
      const bool second = std::sin(11.0 * i) < x / 2;
      out << (second ? 1 - 2 * x : -1 + 3 * x) + noise << "," << x << ",1\n";
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
    return folder_ + "/" + name;
  }
  std::string folder_;
};

TEST_F(FitCommand, FitsComparesPredictsAndReports) {
  const auto data = folder_ + "/data.csv", model = folder_ + "/model.json", report = folder_ + "/fit.html";
  const auto fit = cli("fit " + data + " --response y --inputs x --experts 1..3 --quiet --starts 4 --out " +
                       model + " --report " + report);
  expect(fit, 0, "chosen by bic");
  expect(fit, 0, "expert 2");
  EXPECT_EQ(fit.text.find("expert 3"), std::string::npos) << fit.text;
  EXPECT_EQ(fit.text.find("nan"), std::string::npos) << fit.text;
  std::ifstream page(report);
  const std::string html{std::istreambuf_iterator<char>(page), {}};
  EXPECT_NE(html.find("--response y --inputs x --experts 1..3"), std::string::npos);

  const auto predicted = cli("predict " + model + " " + data + " --explain");
  expect(predicted, 0,
         "row,mean,mean_error,mean_low,mean_high,low,high,expert_1,expert_2,gate_1,gate_2,log_density,"
         "responsibility_1,"
         "responsibility_2");
  std::istringstream lines(predicted.text);
  int count = 0;
  for (std::string line; std::getline(lines, line);) ++count;
  EXPECT_EQ(count, 201);
  expect(cli("predict " + model + " " + data + " --out " + folder_ + "/p.csv"), 0, "200 rows");
}

// A terminal obeys what stands raw in a name: paths are printed as text.
TEST_F(FitCommand, PathsAreShownHarmless) {
  const std::string odd = folder_ + "/odd\x1b]0;owned\x07.", text = folder_ + "/odd\\x1b]0;owned\\x07.";
  const auto fit = cli("fit " + folder_ + "/data.csv --response y --inputs x --experts 1 --quiet --out '" +
                       odd + "json' --report '" + odd + "html'");
  expect(fit, 0, "model: " + text + "json\n");
  expect(fit, 0, "report: " + text + "html\n");
  const auto predicted = cli("predict '" + odd + "json' " + folder_ + "/data.csv --out '" + odd + "csv'");
  expect(predicted, 0, "200 rows: " + text + "csv\n");
  const auto missing = cli("predict '" + odd + "none' " + folder_ + "/data.csv");
  expect(missing, 2, text + "none");
  const auto report = cli("report '" + odd + "html' --out '" + odd + "out'");
  expect(report, 2, text + "html");
  for (const auto& answer : {fit, predicted, missing, report}) {
    EXPECT_EQ(answer.text.find('\x1b'), std::string::npos) << answer.text;
    EXPECT_EQ(answer.text.find('\x07'), std::string::npos) << answer.text;
  }
}

TEST_F(FitCommand, PrintsJsonThatIsTheModelAndMore) {
  const auto json =
      Json::parse(cli("fit " + folder_ +
                      "/data.csv --response y --weights w --quiet --json --starts 4 --folds 3 --criterion cv")
                      .text);
  EXPECT_EQ(json["model"]["experts"], 2);
  EXPECT_EQ(json["coefficients"].size(), 8u);
  EXPECT_TRUE(json["comparison"][0]["validation"]["mean"].is_number());
  const double slopes[] = {json["parameters"]["slope"][0], json["parameters"]["slope"][1]};
  EXPECT_NEAR(std::min(slopes[0], slopes[1]), -2, 0.2);
  EXPECT_NEAR(std::max(slopes[0], slopes[1]), 3, 0.2);
}

TEST_F(FitCommand, RefusesBadInputWithLineColumnAndRemedy) {
  const auto data = folder_ + "/data.csv";
  expect(cli("fit " + data + " --response yy"), 2, "no column \"yy\"; did you mean \"y\"?");
  expect(cli("fit " + folder_ + "/none.csv --response y"), 2, "none.csv");
  expect(cli("fit " + data + " --response y --gate softmix"), 2, "did you mean \"softmax\"?");
  expect(cli("fit " + data + " --response y --experts many"), 2, "as 3 or 2..6");
  expect(cli("fit " + data + " --response y --experts 300 --inputs x"), 2, "no more experts than rows");
  expect(cli("fit " + data + " --response y"), 2, "column \"w\" is constant");
  expect(cli("fit " + write("a.csv", "y,x\n1,2\n2,NA\n3,4\n4,6\n") + " --response y"), 2,
         "line 3, column \"x\": the value is missing");
  expect(cli("fit " + write("b.csv", "y,x\n1,2\n2,3x\n3,4\n4,6\n") + " --response y"), 2,
         "line 3, column \"x\": expected a number, got \"3x\"");
  expect(cli("fit " + write("c.csv", "y,x,z\n1,2,4\n2,3,6\n3,5,10\n4,7,14\n6,8,16\n") + " --response y"), 2,
         "column \"z\" is determined");
  expect(cli("fit " + write("d.csv", "y,x\n1,2\n1,3\n1,5\n1,9\n") + " --response y"), 2,
         "the response is constant");
  const auto commas = write("e.csv", "y;x\n1,5;1\n3,25;2\n5,5;3\n6,75;4\n9;5\n");
  expect(cli("fit " + commas + " --response y"), 2,
         "line 2, column \"y\": expected a number, got \"1,5\": a comma stands where a point is expected");
  expect(cli("fit " + commas + " --response y --decimal , --experts 1 --quiet --out " + folder_ + "/e.json"),
         0, "1.85");
  expect(cli("predict " + folder_ + "/e.json " + write("f.csv", "x\n\"2,5\"\n") + " --decimal ,"), 0,
         "4.275");
  expect(cli("predict " + data + " " + data), 2, "JSON");
  expect(cli("predict " + write("m.json", "{\"format\": \"other\"}") + " " + data), 2,
         "expected a model file of `gatewright fit`");
}

TEST_F(FitCommand, SeparableClassesAndDyingExpertsAreNotedAndNeverNan) {
  std::string separable = "y,x\n", few = "y,x\n";
  for (int i = 0; i < 40; ++i) separable += std::string(i < 20 ? "a," : "b,") + std::to_string(i) + "\n";
  for (int i = 0; i < 30; ++i)
    few += std::to_string(0.1 * i + std::sin(12.9898 * i * i)) + "," + std::to_string(0.1 * i) + "\n";
  const auto classes =
      cli("fit " + write("s.csv", separable) + " --response y --family multinomial --experts 1..2 --quiet");
  expect(classes, 0, "note: the inputs separate the classes completely: the likelihood rises without bound");
  const auto data = write("f.csv", few);
  const auto one = cli("fit " + data + " --response y --experts 8 --quiet"),
             range = cli("fit " + data + " --response y --experts 1..8 --quiet");
  expect(one, 0, "died: 2 rows are left to it");
  expect(range, 0, "out: an expert holds too few rows");
  EXPECT_EQ(range.text.find("note: expert"), std::string::npos)
      << range.text;  // a size without dead experts was chosen
  for (const auto& answer : {classes, one, range})
    EXPECT_EQ(answer.text.find("nan"), std::string::npos) << answer.text;
}

// What a user must know of the search, and what is refused before it begins.
TEST_F(FitCommand, TellsHowTheSearchWentAndRefusesBeforeIt) {
  const auto data = folder_ + "/data.csv", inputs = data + " --response y --inputs x ";
  expect(cli("fit " + inputs + "--experts 2 --starts 4 --quiet"), 0, " of 4 starts ended at this maximum");
  const auto few = write("few.csv", "y,x\n1,2\n3,1\n2,5\n4,4\n6,7\n5,3\n7,9\n8,6\n");
  const auto range = cli("fit " + few + " --response y --experts 1..2 --quiet");
  expect(range, 0, "note: 2 experts are out: an expert ");
  expect(cli("fit " + inputs + "--experts 1..900"), 2,
         "expected no more experts than rows with weight (200), got 900");
  expect(cli("fit " + inputs + "--folds 1"), 2, "one fold leaves no rows to fit");
  for (const char* flag : {"--starts 0", "--starts -1", "--folds -1", "--least-rows -1", "--replacements -2",
                           "--iterations 0"}) {
    const auto answer = cli("fit " + inputs + flag);
    EXPECT_EQ(answer.code, 2) << flag << ": " << answer.text;
    EXPECT_LT(answer.text.size(), 160u)
        << answer.text;  // a range once ended at the largest double, in 309 digits
  }
}

TEST_F(FitCommand, ReadsTablesAsOtherProgramsWriteThem) {
  std::string rows;
  for (int i = 0; i < 12; ++i)
    rows += std::to_string(i + 1) + "|" + std::to_string(2 * i + i % 3) + "|" +
            (i == 5 ? "?" : std::to_string(i)) + "\n";
  const auto table = write("bars.csv", "# from a logger\n|y|\"length, cm\"\n" + rows);
  const auto flags = " --response y --experts 1 --quiet --comment '#' --missing-marks '?' --missing drop ";
  const auto all = cli("fit " + table + flags);
  expect(all, 0, "length, cm");
  expect(all, 0, "column \"column1\" has no name of its own (row names?) and is left out");
  expect(cli("fit " + table + flags + "--inputs '\"length, cm\",column1' --gate-inputs '\"length, cm\"'"), 2,
         "column \"column1\" is determined");
  expect(cli("fit " + table + flags + "--inputs '\"length, cm\"'"), 0, "(1 left out: missing values)");
  expect(cli("fit " + table + " --response y --comment '##'"), 2, "expected one sign");
}

/// What docs/statistics.md prints after "$ gatewright ARGUMENTS", up to the next command or the end of the
/// block.
std::string documented(const std::string& text, const std::string& arguments) {
  const auto at = text.find("$ gatewright " + arguments + "\n");
  if (at == std::string::npos) return "not documented: " + arguments;
  const auto begin = text.find('\n', at) + 1;
  const auto end = text.find("```", begin), next = text.find("\n$ ", begin);
  return text.substr(begin, (next < end ? next + 1 : end) - begin);
}

/// Ten digits of an estimate hold more than iterations that end at 1e-10 of a likelihood fix: the last two
/// differ from one processor to another.
void expect_same_table(const std::string& got, const std::string& wanted) {
  ASSERT_EQ(got.substr(0, got.find('\n')), wanted.substr(0, wanted.find('\n')));
  const auto numbers = [](std::string text) {
    text.erase(0, text.find('\n'));
    std::replace(text.begin(), text.end(), ',', ' ');
    std::istringstream in(text);
    return std::vector<double>{std::istream_iterator<double>(in), {}};
  };
  const auto printed = numbers(got), documented = numbers(wanted);
  ASSERT_EQ(printed.size(), documented.size());
  ASSERT_EQ(printed.size(), 33u);
  for (size_t i = 0; i < printed.size(); ++i)
    EXPECT_NEAR(printed[i], documented[i], 1e-6 * std::abs(documented[i])) << i;
}

TEST_F(FitCommand, TheDocumentedExampleIsWhatItPrints) {
  const std::string root = GW_SOURCE_ROOT;
  std::ifstream file(root + "/docs/statistics.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::string fit =
      "fit examples/data/iris.csv --response sepal_width --inputs sepal_length --experts 1..4 --out "
      "iris.json --quiet";
  const std::string predict = "predict iris.json flowers.csv";
  write("flowers.csv", "sepal_length\n5.0\n5.5\n6.5\n");
  for (const auto& arguments : {fit, predict}) {
    auto run = arguments;
    if (run.find("examples/") != std::string::npos)
      run.replace(run.find("examples/"), 9, root + "/examples/");
    const auto answer = gw::test::shell("cd " + folder_ + " && " GW_CLI " " + run);
    EXPECT_EQ(answer.code, 0);
    if (arguments == predict) {
      expect_same_table(answer.text, documented(text, arguments));
    } else {
      EXPECT_EQ(answer.text, documented(text, arguments));
    }
  }
}

}  // namespace
