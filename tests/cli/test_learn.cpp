// `gatewright learn` and `predict` from outside, on the table that comes with the project.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "gatewright/base/json.h"
#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace gw::test::learn_command_cases {

const char* const kIris = "examples/data/iris.csv";

TEST(LearnCommand, LearnsAndPredicts) {
  const Scratch scratch;
  const auto model = scratch / "iris-model";
  const auto learned =
      cli(std::string("learn ") + kIris + " --target species --epochs 30 --quiet --out " + model);
  expect(learned, 0, "species: 3 classes (it is text)");
  expect(learned, 0, "102 rows to train on, 18 to validate, 30 to test; 4 inputs");
  expect(learned, 0, "accuracy");
  expect(learned, 0, "mean weight of the experts");
  const auto predicted = cli("predict " + model + " " + kIris + " --out " + (scratch / "p.csv"));
  expect(predicted, 0, "150 rows: ");
  expect(predicted, 0, "on the 150 rows that have \"species\"");
  const auto text = read_file(scratch / "p.csv");
  EXPECT_EQ(text.substr(0, text.find('\n')), "species,p_setosa,p_versicolor,p_virginica");
  expect(cli("predict " + model + " " + kIris + " --explain"), 2,
         "expected no --explain with a folder of `gatewright learn`");
}

TEST(LearnCommand, PrintsJson) {
  const Scratch scratch;
  const auto answer = cli(std::string("learn ") + kIris +
                          " --target petal_width --model mlp --epochs 3 --shuffles 1 --quiet --json --out " +
                          (scratch / "m"));
  ASSERT_EQ(answer.code, 0) << answer.text;
  const auto json = Json::parse(answer.text);
  EXPECT_EQ(json["response"], "petal_width");
  EXPECT_TRUE(json["scores"]["rmse"]["low"].is_number());
  EXPECT_EQ(json["importance"].size(), 4u);
  EXPECT_EQ(json["rows"]["test"], 30);
}

TEST(LearnCommand, RefusesBadInput) {
  const Scratch scratch;
  const auto learn = [&](const std::string& rest) {
    return cli("learn " + rest + " --quiet --out " + (scratch / "m"));
  };
  expect(learn(std::string(kIris) + " --target specis"), 2, "did you mean \"species\"?");
  expect(learn(std::string(kIris) + " --target species --model tree"), 2, "unknown model \"tree\"");
  expect(learn(std::string(kIris) + " --target species --task number"), 2, "expected numbers, got text");
  expect(learn(std::string(kIris) + " --target species --exclude petal"), 2, "no column \"petal\"");
  expect(cli("predict " + scratch.path() + " " + kIris), 2, "expected a folder with table.json");
  EXPECT_FALSE(std::filesystem::exists(scratch / "m"));
}

}  // namespace gw::test::learn_command_cases
