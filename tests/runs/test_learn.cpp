// From a table to a model and back: what is told apart, what is left in the folder, what is refused.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <sstream>

#include "gatewright/base/error.h"
#include "gatewright/runs/learn.h"
#include "tests/runs/scratch.h"

namespace gw::test::learn_cases {

namespace fs = std::filesystem;

/// Two groups that only the sign of x · (±1 by group) tells apart, a useless input, gaps in x.
std::string crossed(int rows, int without = 0) {
  std::ostringstream out;
  out << "side,x,group,noise\n";
  for (int i = 0; i < rows; ++i) {
    const double x = std::fmod(0.618034 * i, 1.0) * 2 - 1;
    const bool up = (i / 3) % 2 == 0, right = (x > 0) == up;
    out << (i < without ? "" : right ? "right" : "left") << ',';
    if (i % 17 != 5) out << x;
    out << ',' << (up ? "up" : "down") << ',' << std::sin(7.0 * i) << '\n';
  }
  return out.str();
}

LearnRequest request_for(const Scratch& scratch, const std::string& text, const char* response) {
  write_file(scratch / "t.csv", text);
  LearnRequest request;
  request.path = scratch / "t.csv", request.response = response, request.directory = scratch / "model";
  request.epochs = 30;
  return request;
}

const HeldOutScore& score(const LearnOutcome& outcome, const std::string& name) {
  for (const auto& s : outcome.scores)
    if (s.name == name) return s;
  throw ValueError("no score " + name);
}

// Fails if factors or numbers do not reach the network, or if shuffled columns are others than their names
// say.
TEST(LearnTable, LearnsWhatNoInputTellsAlone) {
  const Scratch scratch;
  auto request = request_for(scratch, crossed(600, 7), "side");
  const auto outcome = learn_table(request, {});
  EXPECT_EQ(outcome.encoding.classes, (std::vector<std::string>{"left", "right"}));
  EXPECT_EQ(outcome.without_response, 7);
  EXPECT_EQ(outcome.train + outcome.validation + outcome.test, 593);
  const auto& accuracy = score(outcome, "accuracy");
  EXPECT_GT(accuracy.value, 0.85);
  EXPECT_LT(accuracy.low, accuracy.value);
  EXPECT_GT(accuracy.high, accuracy.value);
  EXPECT_LT(score(outcome, "most_frequent").value, 0.65);
  ASSERT_EQ(outcome.importance.size(), 3u);
  EXPECT_EQ(outcome.importance.back().name, "noise");
  EXPECT_GT(outcome.importance.front().loss, 0.2);
  EXPECT_LT(std::abs(outcome.importance.back().loss), 0.1);
  ASSERT_EQ(outcome.experts.groups.size(), 2u);
  for (const auto& weights : outcome.experts.weight) {
    double sum = 0;
    for (const double w : weights) sum += w;
    EXPECT_NEAR(sum, 1, 1e-5);
  }
}

// Fails if the network does not learn which columns are one field, or if pairs are named otherwise than they
// are.
TEST(LearnTable, InputsThatAttendTellWhichActTogether) {
  const Scratch scratch;
  auto request = request_for(scratch, crossed(600), "side");
  request.model = "autoint";
  const auto outcome = learn_table(request, {});
  EXPECT_GT(score(outcome, "accuracy").value, 0.85);
  EXPECT_TRUE(outcome.experts.groups.empty()) << "nobody is chosen";
  ASSERT_EQ(outcome.pairs.size(), 3u) << "of three inputs";
  EXPECT_EQ(outcome.pairs[0].first + " " + outcome.pairs[0].second, "x group");
  EXPECT_GT(outcome.pairs[0].together, 2 * outcome.pairs[1].together);
  const auto told = to_json(outcome)["pairs"];
  EXPECT_EQ(told[0]["inputs"], (Json{"x", "group"}));
  EXPECT_EQ(to_json(read_learned_model(scratch / "model").encoding).dump(), to_json(outcome.encoding).dump());
}

TEST(LearnTable, TheFolderAnswersAsTheTrainedModelDid) {
  const Scratch scratch;
  const auto request = request_for(scratch, crossed(200), "side");
  const auto outcome = learn_table(request, {});
  for (const char* file : {kTableFile, kWeightsFile, kLearnedFile})
    EXPECT_TRUE(fs::exists(scratch / ("model/" + std::string(file))));
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch / "model"), {}), 3);
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path()), {}), 2)
      << "nothing but the table and the model";
  const auto model = read_learned_model(scratch / "model");
  const CsvTable table(read_file(scratch / "t.csv"), "t.csv"),
      part("group,extra,x\nup,1,0.5\nnew,2,\n", "part.csv");
  std::string text, again, few;
  const auto told = predict_table(model, table, [&](std::string_view piece) { text += piece; });
  EXPECT_EQ(told.rows, 200);
  EXPECT_EQ(told.scored, 200);
  EXPECT_GT(told.score, 0.7);
  EXPECT_EQ(text.substr(0, text.find('\n')), "side,p_left,p_right");
  predict_table(read_learned_model(scratch / "model"), table,
                [&](std::string_view piece) { again += piece; });
  EXPECT_EQ(text, again);
  EXPECT_THROW(predict_table(model, part, [](std::string_view) {}), ValueError)
      << "the column noise is not there";
  const CsvTable gaps("group,noise,x,side\nnew,,,elsewhere\n", "gaps.csv");
  const auto unseen = predict_table(model, gaps, [&](std::string_view piece) { few += piece; });
  EXPECT_EQ(unseen.unseen_classes, 1);
  EXPECT_EQ(unseen.score, 0);
}

TEST(LearnTable, TheSeedDecidesEveryBit) {
  const Scratch scratch;
  auto request = request_for(scratch, crossed(120), "side");
  request.epochs = 4;
  learn_table(request, {});
  const auto first = read_file(scratch / "model/model.safetensors");
  learn_table(request, {});
  EXPECT_EQ(first, read_file(scratch / "model/model.safetensors"));
  request.seed = 1;
  learn_table(request, {});
  EXPECT_NE(first, read_file(scratch / "model/model.safetensors"));
}

// Fails if answers stay standardised.
TEST(LearnTable, NumbersComeBackInTheirUnitsSlow) {
  const Scratch scratch;
  std::ostringstream text;
  text << "price;area\n";
  for (int i = 0; i < 300; ++i) text << 50000 + 1000 * (i % 60) + (i * 7) % 11 * 0.5 << ';' << i % 60 << '\n';
  auto request = request_for(scratch, text.str(), "price");
  request.epochs = 60;
  for (const char* model : {"mlp", "moe"}) {
    request.model = model;
    const auto outcome = learn_table(request, {});
    EXPECT_TRUE(outcome.encoding.classes.empty());
    EXPECT_LT(score(outcome, "rmse").value, 4000) << model << ": predicting the mean gives 17300";
    EXPECT_GT(score(outcome, "r2").value, 0.9) << model;
    EXPECT_EQ(outcome.experts.groups.size(), std::string(model) == "mlp" ? 0u : 4u);
  }
}

TEST(LearnTable, PatienceEndsTheTraining) {
  const Scratch scratch;
  auto request = request_for(scratch, crossed(100), "noise");
  request.epochs = 300, request.patience = 2, request.repeats = 0;
  const auto outcome = learn_table(request, {});
  EXPECT_LT(outcome.epochs, 250);
  EXPECT_TRUE(outcome.importance.empty());
}

TEST(LearnTable, RefusalsLeaveNothingBehind) {
  const Scratch scratch;
  const auto refused = [&](LearnRequest request, const std::string& words) {
    try {
      learn_table(request, {});
      ADD_FAILURE() << "accepted: " << words;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
    EXPECT_FALSE(fs::exists(scratch / "model"));
  };
  auto good = request_for(scratch, crossed(60), "side");
  auto bad = good;
  bad.response = "sides";
  refused(bad, "did you mean \"side\"?");
  bad = good, bad.model = "forest";
  refused(bad, "unknown model \"forest\"; known: autoint, gg_moe, mlp, moe");
  bad = good, bad.inputs = {"x", "side"};
  refused(bad, "is the response and cannot explain itself");
  bad = good, bad.path = scratch / "none.csv";
  refused(bad, "none.csv");
  write_file(scratch / "occupied", "a file");
  bad = good, bad.directory = scratch / "occupied";
  refused(bad, "expected a new directory, an empty one or an earlier model");
  EXPECT_EQ(read_file(scratch / "occupied"), "a file");
  int64_t asked = 0;
  try {
    learn_table(good, {nullptr, [&] { return ++asked > 3; }, {}});
    ADD_FAILURE() << "was not interrupted";
  } catch (const Interrupted&) {
  }
  EXPECT_FALSE(fs::exists(scratch / "model"));
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path()), {}), 2);
  EXPECT_THROW(read_learned_model(scratch.path()), ValueError);
}

}  // namespace gw::test::learn_cases
