// Pairs of texts: halves of passages in order, nothing twice, the end of each file for the test.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/file.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/cloze.h"
#include "gatewright/data/dataset.h"
#include "tests/language/tiny_model.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

namespace gw::test::text_pairs_cases {

at::Tensor one_row(const std::vector<int64_t>& ids) { return at::tensor(ids, at::kLong).unsqueeze(0); }

class TextPairsData : public testing::Test {
 protected:
  TextPairsData() {
    std::string text;
    for (int i = 0; i < 50; ++i) text += "Word" + std::to_string(i) + (i % 7 == 6 ? ".\n\n" : " ");
    write_file(scratch_ / "a.txt", text);
    write_file(scratch_ / "b.txt", "One two three four five six seven eight nine ten eleven twelve.");
  }
  TaskData load(Json options) const {
    options.update({{"files", {scratch_ / "a.txt", scratch_ / "b.txt"}}});
    return make_part<Dataset>("text_pairs", options, {})->load();
  }
  Scratch scratch_;
};

TEST_F(TextPairsData, PassagesFollowEachOther) {
  const auto data = load({{"context", 3}, {"vocabulary", 5000}, {"test_share", 0.25}});
  EXPECT_EQ(data.domain_names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(data.vocabulary, 5000);
  EXPECT_EQ(data.train.size(), 6 + 1);  // 8 passages of 6 words, and 2
  EXPECT_EQ(data.test.size(), 2 + 1);
  const auto first = [](const TensorSet& set, const char* name, int64_t row) {
    return set.at(name)[row][0].item<int64_t>();
  };
  for (int64_t i = 0; i < 8; ++i) {
    const auto& set = i < 6 ? data.train : data.test;
    const int64_t row = i < 6 ? i : i - 6;
    EXPECT_EQ(first(set, "token", row), word_id("word" + std::to_string(6 * i), 5000)) << i;
    EXPECT_EQ(first(set, "other", row), word_id("word" + std::to_string(6 * i + 3), 5000)) << i;
  }
  EXPECT_TRUE(at::equal(data.train.at("domain"), at::tensor({0, 0, 0, 0, 0, 0, 1}, at::kLong)));
  EXPECT_TRUE(at::equal(data.train.at("label"), data.train.at("domain")));
}

TEST_F(TextPairsData, TakesNoMoreThanAsked) {
  const auto data = load({{"context", 3}, {"most", 4}, {"test_share", 0.25}});
  EXPECT_EQ(data.train.size(), 3 + 1);
}

TEST_F(TextPairsData, RefusesWhatIsTooShortAndTokenizersOfDecoders) {
  expect_part(refusal<ValueError>([&] { load({{"context", 6}}); }), "at least 2 passages of 12 tokens");
  write_tiny_model(scratch_ / "model");
  expect_part(refusal<ValueError>([&] {
                load({{"context", 3}, {"model", scratch_ / "model"}});
              }),
              "one token before and one after");
}

/// A vocabulary of whole words between [CLS] and [SEP].
TEST_F(TextPairsData, TokensOfAnEncoderStandBetweenItsOwn) {
  Json vocabulary{{"[PAD]", 0}, {"[UNK]", 1}, {"[CLS]", 2}, {"[SEP]", 3}};
  for (const char* word : {"one", "two", "three", "four", "five", "six", "seven", "eight"})
    vocabulary[word] = static_cast<int64_t>(vocabulary.size());
  const auto special = [](const char* name, int id) {
    return Json{{"id", name}, {"ids", Json::array({id})}, {"tokens", Json::array({name})}};
  };
  const auto piece = [](const char* kind, const char* id) {
    return Json{{kind, {{"id", id}, {"type_id", 0}}}};
  };
  const Json file{
      {"version", "1.0"},
      {"added_tokens", Json::array()},
      {"normalizer",
       {{"type", "BertNormalizer"},
        {"clean_text", true},
        {"handle_chinese_chars", true},
        {"strip_accents", nullptr},
        {"lowercase", true}}},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", {piece("SpecialToken", "[CLS]"), piece("Sequence", "A"), piece("SpecialToken", "[SEP]")}},
        {"pair",
         {piece("SpecialToken", "[CLS]"), piece("Sequence", "A"), piece("SpecialToken", "[SEP]"),
          piece("Sequence", "B"), piece("SpecialToken", "[SEP]")}},
        {"special_tokens", {{"[CLS]", special("[CLS]", 2)}, {"[SEP]", special("[SEP]", 3)}}}}},
      {"decoder", nullptr},
      {"model",
       {{"type", "WordPiece"},
        {"unk_token", "[UNK]"},
        {"continuing_subword_prefix", "##"},
        {"max_input_chars_per_word", 100},
        {"vocab", vocabulary}}}};
  std::filesystem::create_directories(scratch_ / "bert");
  write_file(scratch_ / "bert/tokenizer.json", file.dump()), write_file(scratch_ / "bert/config.json", "{}");
  const auto data = make_part<Dataset>("text_pairs",
                                       {{"files", {scratch_ / "b.txt"}},
                                        {"model", scratch_ / "bert"},
                                        {"context", 5},
                                        {"test_share", 0.3}},
                                       {})
                        ->load();
  EXPECT_EQ(data.vocabulary, 12);
  EXPECT_TRUE(at::equal(data.train.at("token"), one_row({2, 4, 5, 6, 3})));
  EXPECT_TRUE(at::equal(data.train.at("other"), one_row({2, 7, 8, 9, 3})));
  EXPECT_TRUE(at::equal(data.test.at("token"), one_row({2, 10, 11, 1, 3})));  // nine: unknown
}

}  // namespace gw::test::text_pairs_cases
