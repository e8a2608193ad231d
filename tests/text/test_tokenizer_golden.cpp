// Ids and texts equal those of the package `tokenizers`, string by string; what a changed part breaks shows
// as the first string that differs.
#include <gtest/gtest.h>

#include <thread>

#include "gatewright/base/rng.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/tokenizer.h"
#include "tests/text/golden_files.h"

namespace gw {
namespace {

using test::golden_kinds;
using test::golden_path;
using test::golden_strings;

std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, bool skip_special) {
  StreamDecoder stream(tokenizer, skip_special);
  std::string all;
  for (const int32_t id : ids) {
    const std::string part = stream.push(id);
    EXPECT_EQ(invalid_utf8(part), std::string::npos) << "after id " << id;
    all += part;
  }
  return all += stream.finish();
}

class Golden : public testing::TestWithParam<std::string> {
 protected:
  Tokenizer tokenizer_ = Tokenizer::from_file(golden_path(GetParam() + ".json"));
  std::vector<std::string> strings_ = golden_strings();
};

TEST_P(Golden, IdsAndTextsEqualThoseOfThePackage) {
  const Json cases = read_json(golden_path(GetParam() + ".cases.json"));
  ASSERT_EQ(cases.size(), strings_.size());
  for (size_t i = 0; i < strings_.size(); ++i) {
    const auto expected = cases.at(i).at(0).get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer_.encode(strings_[i]), expected) << shown(strings_[i], 200);
    EXPECT_EQ(tokenizer_.decode(expected), cases.at(i).at(1).text()) << shown(strings_[i], 200);
    EXPECT_EQ(tokenizer_.decode(expected, false), cases.at(i).at(2).text()) << shown(strings_[i], 200);
  }
}

TEST_P(Golden, AStreamIsTheSameAsAList) {
  const Rng rng(7);
  const auto below = static_cast<uint64_t>(tokenizer_.size()) + 5;  // some ids have no token
  for (uint64_t trial = 0; trial < 200; ++trial) {
    const Rng draws = rng.fork(GetParam(), trial);
    std::vector<int32_t> ids;
    for (uint64_t i = 0; i < 1 + draws.below(0, 30); ++i)
      ids.push_back(static_cast<int32_t>(draws.below(i + 1, below)));
    for (const bool skip : {true, false})
      EXPECT_EQ(streamed(tokenizer_, ids, skip), tokenizer_.decode(ids, skip));
  }
  for (const auto& text : strings_) {
    const auto ids = tokenizer_.encode(text);
    EXPECT_EQ(streamed(tokenizer_, ids, true), tokenizer_.decode(ids));
  }
}

TEST_P(Golden, TokensAndIdsAreInversesOfEachOther) {
  int64_t tokens = 0;
  for (int32_t id = 0; id < tokenizer_.size(); ++id) {
    const std::string& token = tokenizer_.token(id);
    EXPECT_EQ(tokenizer_.id(token), id) << token;
    ++tokens;
  }
  EXPECT_EQ(tokens, tokenizer_.size());
  EXPECT_FALSE(tokenizer_.id("no such token"));
  for (const int32_t id : tokenizer_.special_ids()) EXPECT_TRUE(tokenizer_.is_special(id));
  EXPECT_THROW(tokenizer_.token(static_cast<int32_t>(tokenizer_.size())), ValueError);
  EXPECT_THROW(tokenizer_.token(-1), ValueError);
}

TEST_P(Golden, ThreadsShareATokenizer) {
  std::vector<std::vector<int32_t>> alone;
  for (const auto& text : strings_) alone.push_back(tokenizer_.encode(text));
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < strings_.size(); ++i) wrong[t] += tokenizer_.encode(strings_[i]) != alone[i];
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

INSTANTIATE_TEST_SUITE_P(Kinds, Golden, testing::ValuesIn(golden_kinds()),
                         [](const auto& kind) { return kind.param; });

TEST(Tokenizer, LongTextsAreTheirPartsOneAfterTheOther) {
  // A long text goes through the cache of pieces; parts that begin with a line of their own are cut alike.
  const Tokenizer tokenizer = Tokenizer::from_file(golden_path("gpt2.json"));
  std::string text;
  std::vector<int32_t> expected;
  for (int round = 0; round < 5; ++round) {
    for (const auto& part : golden_strings()) {
      const std::string line = "x" + part + "x.\n";
      if (part.find('<') != std::string::npos) continue;
      text += line;
      const auto ids = tokenizer.encode(line);
      expected.insert(expected.end(), ids.begin(), ids.end());
    }
  }
  EXPECT_EQ(tokenizer.encode(text), expected);
}

TEST(Tokenizer, ALongWordIsNotQuadratic) {
  const Tokenizer tokenizer = Tokenizer::from_file(golden_path("llama.json"));
  const std::string word(2'000'000, 'a');  // quadratic: hours
  const auto ids = tokenizer.encode(word);
  EXPECT_EQ(tokenizer.decode(ids), word);
}

TEST(Tokenizer, SpecialTokensOfStrangersAreText) {
  const Tokenizer tokenizer = Tokenizer::from_file(golden_path("gpt2.json"));
  const int32_t end = tokenizer.id("<|end|>").value();
  EXPECT_EQ(tokenizer.encode("a<|end|>", false, true).back(), end);
  const auto ids = tokenizer.encode("a<|end|>", false, false);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), end), 0);
  EXPECT_EQ(tokenizer.decode(ids), "a<|end|>");
}

TEST(Tokenizer, WithoutSpecialTokensNothingStandsAround) {
  const Tokenizer tokenizer = Tokenizer::from_file(golden_path("llama.json"));
  const auto with = tokenizer.encode("hello"), without = tokenizer.encode("hello", false);
  ASSERT_EQ(with.size(), without.size() + 1);
  EXPECT_EQ(with.front(), tokenizer.id("<s>"));
  EXPECT_TRUE(std::equal(without.begin(), without.end(), with.begin() + 1));
}

}  // namespace
}  // namespace gw
