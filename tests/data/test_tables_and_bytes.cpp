#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "tests/data/temp_directory.h"

namespace gw::test::tables_and_bytes_cases {

gw::TaskData load(const char* part, const gw::Json& options) {
  return gw::make_part<gw::Dataset>(part, options, {})->load();
}

template <class Call>
void expect_refused(const Call& call, const std::string& words) {
  try {
    call();
    ADD_FAILURE() << "accepted; expected: " << words;
  } catch (const gw::Error& error) {
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

TEST(Bytes, WindowsFollowEachOtherAndTheTargetIsTheNextByte) {
  const auto data = load("bytes", {{"context", 32}});
  const auto token = data.train.at("token"), target = data.train.at("target");
  EXPECT_EQ(token.size(1), 32);
  EXPECT_TRUE(token.slice(1, 1).equal(target.slice(1, 0, 31)));
  EXPECT_TRUE(token[1][0].equal(target[0][31])) << "the byte behind a window opens the next";
  EXPECT_EQ(data.vocabulary, 256);
  EXPECT_EQ(data.class_names, (std::vector<std::string>{"constitution", "declaration"}));
  EXPECT_EQ(token[0][0].item<int64_t>(), 'T') << "The Constitution …";
  EXPECT_TRUE(data.test.at("label").min().equal(at::scalar_tensor(0, at::kLong)) &&
              data.test.at("label").max().item<int64_t>() == 1)
      << "the test holds windows of both files";
}

TEST(Bytes, TakesNoMoreWindowsThanAsked) {
  const auto all = load("bytes", {{"context", 32}}), few = load("bytes", {{"context", 32}, {"most", 10}});
  EXPECT_EQ(few.train.size(), 2 * 9);
  EXPECT_EQ(few.test.size(), 2 * 1);
  EXPECT_TRUE(few.train.at("token").narrow(0, 0, 9).equal(all.train.at("token").narrow(0, 0, 9)));
}

TEST(Bytes, ScatteredWindowsOfTheTestComeFromAllOfAFileAndFromNoWindowOfTraining) {
  const gw::Json options = {{"context", 32}, {"most", 40}, {"test_share", 0.25}};
  auto with = options;
  with["scattered"] = true;
  const auto last = load("bytes", options), drawn = load("bytes", with), again = load("bytes", with);
  EXPECT_EQ(drawn.train.size(), 2 * 30);
  EXPECT_EQ(drawn.test.size(), 2 * 10);
  EXPECT_TRUE(drawn.test.at("token").equal(again.test.at("token")));
  const auto rows = [](const gw::TaskData& data) {
    std::multiset<std::string> all;
    for (const auto* part : {&data.train, &data.test})
      for (const auto& row : part->at("token").unbind(0)) {
        const auto bytes = row.to(at::kByte).contiguous();
        all.emplace(reinterpret_cast<const char*>(bytes.data_ptr<uint8_t>()), 32);
      }
    return all;
  };
  EXPECT_EQ(rows(drawn), rows(last)) << "each window once";
  const auto first = last.train.at("token").narrow(0, 0, 30);  // of the first file, before its last quarter
  int64_t early = 0;
  for (const auto& row : drawn.test.at("token").narrow(0, 0, 10).unbind(0))
    early += first.eq(row).all(1).any().item<bool>();
  EXPECT_GE(early, 4) << "windows of the test from the first three quarters";
}

class BytesOfAFile : public gw::test::TempDirectory {};

TEST_F(BytesOfAFile, ShorterThanTheContextAreRefused) {
  const auto path = directory_ + "/short.txt";
  for (const char* text : {"", "a few words"}) {
    std::ofstream(path, std::ios::trunc) << text;
    expect_refused(
        [&] {
          load("bytes", {{"files", {path}}, {"context", 64}});
        },
        "expected more than 64 bytes");
  }
  std::ofstream(path, std::ios::trunc) << std::string(70, 'x');
  expect_refused(
      [&] {
        load("bytes", {{"files", {path}}, {"context", 64}});
      },
      "expected at least 2 windows of 64 bytes");
  expect_refused(
      [&] {
        load("bytes", {{"files", {"no/such.txt"}}});
      },
      "expected the file \"no/such.txt\" here or in");
  expect_refused([&] { load("bytes", {{"files", gw::Json::array()}}); }, "expected at least one file");
}

TEST(Table, InputsAreStandardisedOverTheTrainingRowsAlone) {
  const auto data = load("table", {{"path", "iris.csv"}, {"response", "species"}});
  EXPECT_EQ(data.train.size(), 120);
  EXPECT_EQ(data.test.size(), 30);
  const auto x = data.train.at("x").to(at::kDouble);
  EXPECT_LT(x.mean(0).abs().max().item<double>(), 1e-6);
  EXPECT_LT((x.square().mean(0) - 1).abs().max().item<double>(), 1e-5);
  EXPECT_EQ(data.class_names, (std::vector<std::string>{"setosa", "versicolor", "virginica"}));
  EXPECT_TRUE(
      at::bincount(at::cat({data.train.at("label"), data.test.at("label")})).eq(50).all().item<bool>());
}

TEST(Table, NumbersAreScaledBackByTheDeviation) {
  const auto data = load("table", {{"path", "iris.csv"},
                                   {"response", "petal_length"},
                                   {"classes", false},
                                   {"inputs", {"petal_width", "species"}}});
  EXPECT_EQ(data.train.at("x").size(1), 3) << "one number, two levels beside the reference";
  EXPECT_NEAR(data.train.at("y").to(at::kDouble).square().mean().item<double>(), 1, 1e-5);
  EXPECT_NEAR(data.y_scale, 1.76, 0.1);
}

TEST(Table, AnUnknownColumnIsNamedWithTheNearMiss) {
  expect_refused([] { load("table", {{"path", "iris.csv"}, {"response", "specie"}}); }, "species");
}

TEST(TensorSet, AMissingFieldIsNamedWithThoseThatAreThere) {
  const gw::TensorSet set{{{"x", at::zeros({2, 1})}, {"y", at::zeros({2})}}};
  expect_refused([&] { set.at("label"); }, "expected the field \"label\", got x, y");
  const gw::TensorSet uneven{{{"x", at::zeros({2, 1})}, {"y", at::zeros({3})}}};
  expect_refused([&] { uneven.check("loader"); },
                 "loader: expected 2 rows in the field \"y\", as in \"x\", got 3");
}

}  // namespace gw::test::tables_and_bytes_cases
