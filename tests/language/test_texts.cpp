// Texts as tokens of a model: nothing is lost, nothing follows a text's end, and texts do not see each other.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/language/model_tokenizer.h"
#include "gatewright/language/token_batch.h"
#include "tests/language/tiny_model.h"
#include "tests/runs/scratch.h"

namespace gw::test::texts_cases {

namespace fs = std::filesystem;
constexpr const char* kFirst = "We hold these truths to be self-evident, that all men are created equal.";
constexpr const char* kSecond = "When in the Course of human events it becomes necessary for one people.";

class TextsData : public testing::Test {
 protected:
  TextsData() {
    write_tiny_model(scratch_ / "model");
    fs::create_directories(scratch_ / "texts/deep");
    write_file(scratch_ / "texts/b.txt", kSecond);
    write_file(scratch_ / "texts/a.md", kFirst);
    write_file(scratch_ / "texts/deep/c.txt", std::string(kFirst) + "\n%\n" + kSecond + "\n%\n");
    write_file(scratch_ / "texts/d.bin", "not a text");
  }

  TaskData load(Json options) const {
    options["model"] = scratch_ / "model";
    return make_part<Dataset>("texts", options, {})->load();
  }

  std::vector<int64_t> ids(const std::string& text) const {
    const auto found = load_model_tokenizer(scratch_ / "model").tokenizer.encode(text);
    std::vector<int64_t> out(found.begin(), found.end());
    out.push_back(kTinyEnd);
    return out;
  }

  Scratch scratch_;
};

// A folder's documents in the order of their names, each with its end, less what fills no window.
TEST_F(TextsData, WindowsAreTheDocumentsInOrder) {
  const auto data = load({{"files", {scratch_ / "texts"}}, {"context", 8}, {"separator", "\n%\n"}});
  std::vector<int64_t> token, document, target;
  int64_t number = 0;
  for (const char* text : {kFirst, kSecond, kFirst, kSecond}) {
    const auto own = ids(text);
    for (size_t i = 0; i < own.size(); ++i) {
      token.push_back(own[i]), document.push_back(number);
      target.push_back(i + 1 < own.size() ? own[i + 1] : kNoTarget);
    }
    ++number;
  }
  const auto n = static_cast<int64_t>(token.size()) / 8 * 8;
  target[static_cast<size_t>(n - 1)] = kNoTarget;  // what follows the last window's last token is not there
  const auto all = joined({data.train, data.test});
  const auto expect = [&](const char* field, const std::vector<int64_t>& values) {
    const auto wanted = at::tensor(at::ArrayRef<int64_t>(values), at::kLong).slice(0, 0, n).view({-1, 8});
    EXPECT_TRUE(at::equal(all.at(field), wanted)) << field;
  };
  expect("token", token), expect("target", target), expect("document", document);
  EXPECT_EQ(data.vocabulary, 512);
  EXPECT_EQ(data.domain_names, std::vector<std::string>{"texts"});
}

TEST_F(TextsData, EndsWhereItIsToldTo) {
  const auto data = load({{"files", {scratch_ / "texts"}}, {"context", 8}, {"most_tokens", 24}});
  EXPECT_EQ(data.train.size() + data.test.size(), 3);
}

TEST_F(TextsData, RefusesWhatItCannotRead) {
  const auto error_of = [&](const Json& options) -> std::string {
    try {
      load(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  write_file(scratch_ / "broken.txt", "fine until \xff here");
  EXPECT_NE(error_of({{"files", {scratch_ / "broken.txt"}}}).find("broken.txt"), std::string::npos);
  fs::create_directory(scratch_ / "empty");
  EXPECT_NE(error_of({{"files", {scratch_ / "empty"}}}).find("files that end in .txt"), std::string::npos);
  EXPECT_NE(error_of({{"files", {scratch_ / "texts/a.md"}}, {"context", 1000}}).find("at least 2 windows"),
            std::string::npos);
  EXPECT_THROW(make_part<Dataset>("texts", Json::object(), {})->load(), ValueError);
}

// The mask of documents is that each is a sequence of its own: a window of two gives what each gives alone.
TEST_F(TextsData, TextsOfAWindowDoNotSeeEachOther) {
  LoadOptions load;
  load.weights = "f32";
  const auto decoder = load_language_model(scratch_ / "model", load).decoder;
  const auto token = at::arange(3, 27, at::kLong).view({2, 12});
  Batch batch;
  batch.fields["token"] = token;
  batch.fields["document"] =
      at::tensor({int64_t{0}, int64_t{0}, int64_t{0}, int64_t{0}, int64_t{0}, int64_t{1},
                  int64_t{1}, int64_t{1}, int64_t{1}, int64_t{1}, int64_t{1}, int64_t{1},
                  int64_t{1}, int64_t{1}, int64_t{1}, int64_t{1}, int64_t{1}, int64_t{1},
                  int64_t{1}, int64_t{1}, int64_t{2}, int64_t{2}, int64_t{2}, int64_t{2}})
          .view({2, 12});
  const auto together = answer_tokens("test", *decoder, batch, {}).answer;
  const auto alone = [&](int64_t row, int64_t first, int64_t last) {
    const auto ids = token[row].slice(0, first, last);
    return decoder->forward({ids, {last - first}}).logits;
  };
  EXPECT_TRUE(at::equal(together[0].slice(0, 0, 5), alone(0, 0, 5)));
  EXPECT_TRUE(at::equal(together[0].slice(0, 5, 12), alone(0, 5, 12)));
  EXPECT_TRUE(at::equal(together[1].slice(0, 0, 8), alone(1, 0, 8)));
  EXPECT_TRUE(at::equal(together[1].slice(0, 8, 12), alone(1, 8, 12)));
  EXPECT_FALSE(at::equal(together[0].slice(0, 5, 12), alone(0, 0, 12).slice(0, 5, 12)));
}

}  // namespace gw::test::texts_cases
