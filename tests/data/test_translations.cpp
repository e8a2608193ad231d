// Made languages: what is written is the same sentence in other words and another order, and no test sentence
// is among those of the training.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "tests/support/refusal.h"

namespace gw::test::translations_cases {

constexpr int64_t kFirstWord = 4 + 1 + 3;  // of three directions

TaskData made(Json options = Json::object()) {
  Json table{{"pairs", {900, 400, 30}}, {"test", 50}, {"words", 24}, {"noise", 0.0}};
  table.update(options);
  return make_part<Dataset>("translations", table, {})->load();
}

/// How often each word is in each sentence: [n, words].
at::Tensor counts(const at::Tensor& sentence, int64_t words) {
  auto out = at::zeros({sentence.size(0), words}, at::kLong);
  for (int64_t w = 0; w < words; ++w) out.select(1, w).copy_(sentence.eq(kFirstWord + w).sum(1));
  return out;
}

TensorSet of_domain(const TensorSet& set, int64_t domain) {
  return set.rows(set.at("domain").eq(domain).nonzero().flatten());
}

std::set<std::vector<int64_t>> sentences(const at::Tensor& field) {
  std::set<std::vector<int64_t>> all;
  const auto rows = field.contiguous();
  const auto* ids = rows.data_ptr<int64_t>();
  for (int64_t i = 0; i < rows.size(0); ++i, ids += rows.size(1)) {
    std::vector<int64_t> words;
    for (int64_t t = 0; t < rows.size(1); ++t)
      if (ids[t] >= kFirstWord) words.push_back(ids[t]);
    all.insert(words);
  }
  return all;
}

TEST(Translations, HasAsManyPairsAsAskedAndTheFieldsOfATranslation) {
  const auto data = made();
  EXPECT_EQ(data.vocabulary, kFirstWord + 24);
  EXPECT_EQ(data.classes, 3);
  for (const auto& [domain, count] : {std::pair{0, 900}, {1, 400}, {2, 30}}) {
    EXPECT_EQ(of_domain(data.train, domain).size(), count);
    EXPECT_EQ(of_domain(data.test, domain).size(), 50);
  }
  const auto row = of_domain(data.train, 1);
  const auto &source = row.at("source_token"), &token = row.at("token"), &target = row.at("target");
  EXPECT_TRUE(source.select(1, 0).eq(4).all().item<bool>());  // of the language that all share
  EXPECT_TRUE(token.select(1, 0).eq(2).all().item<bool>());
  EXPECT_TRUE(token.select(1, 1).eq(4 + 1 + 1).all().item<bool>());
  EXPECT_TRUE(target.select(1, 0).eq(kNoTarget).all().item<bool>());
  // What follows each token is the next one, and </s> after the last.
  const int64_t t = token.size(1);
  const auto follows = at::cat({token.narrow(1, 1, t - 1), at::full({400, 1}, kNoToken)}, 1);
  const auto last = token.ne(kNoToken).logical_and(follows.eq(kNoToken));
  const auto expected = at::where(last, at::full_like(token, 2),
                                  at::where(follows.eq(kNoToken), at::full_like(token, kNoTarget), follows));
  EXPECT_TRUE(at::equal(target.narrow(1, 1, t - 1), expected.narrow(1, 1, t - 1)));
  EXPECT_TRUE(at::equal(source.eq(2).sum(1), at::ones({400}, at::kLong)));
}

// Each word of the shared language is one word of the other: the columns of counts are those of the source in
// another order, with nothing left over.
TEST(Translations, WordsAreAPermutationOfThoseOfTheSharedLanguage) {
  const auto data = made();
  for (int64_t domain = 0; domain < 2; ++domain) {
    const auto rows = of_domain(data.train, domain);
    const auto read = counts(rows.at("source_token"), 24), written = counts(rows.at("token"), 24);
    std::set<int64_t> met;
    for (int64_t w = 0; w < 24; ++w)
      for (int64_t v = 0; v < 24; ++v)
        if (at::equal(read.select(1, w), written.select(1, v))) met.insert(v);
    EXPECT_EQ(met.size(), 24u) << domain;
    EXPECT_FALSE(at::equal(read, written));
  }
  // The second language has its verb first, where the shared one has a determiner.
  const auto rows = of_domain(data.train, 1);
  const auto first = std::get<0>(at::_unique(rows.at("token").select(1, 2)));
  EXPECT_EQ(first.size(0), 24 / 4);
}

TEST(Translations, NoTestSentenceIsTrainedOnInAnyDirection) {
  const auto data = made({{"pairs", {3000, 3000, 3000}}});
  const auto trained = sentences(data.train.at("source_token"));
  for (const auto& sentence : sentences(data.test.at("source_token"))) EXPECT_EQ(trained.count(sentence), 0u);
}

TEST(Translations, TheSameSeedGivesTheSameAndOneDirectionDoesNotMoveAnother) {
  const auto data = made(), again = made(), other = made({{"seed", 1}});
  for (const auto& [name, field] : data.train.fields) {
    EXPECT_TRUE(at::equal(field, again.train.at(name))) << name;
    const bool of_direction = name == "domain" || name == "label";
    EXPECT_EQ(at::equal(field, other.train.at(name)), of_direction) << name;
  }
  const auto more = made({{"pairs", {900, 500, 30}}});
  EXPECT_TRUE(
      at::equal(of_domain(more.train, 1).first(400).at("token"), of_domain(data.train, 1).at("token")));
  EXPECT_TRUE(at::equal(of_domain(more.train, 2).at("token"), of_domain(data.train, 2).at("token")));
}

TEST(Translations, NoiseIsInWhatIsWrittenAlone) {
  const auto plain = made(), noisy = made({{"noise", 0.25}});
  EXPECT_TRUE(at::equal(plain.train.at("source_token"), noisy.train.at("source_token")));
  const auto words = plain.train.at("token").ge(kFirstWord);
  const auto other = plain.train.at("token").ne(noisy.train.at("token"));
  EXPECT_FALSE(other.logical_and(words.logical_not()).any().item<bool>());
  const double share = other.sum().item<double>() / words.sum().item<double>();
  EXPECT_NEAR(share, 0.25 * 23 / 24, 0.02);
}

TEST(Translations, IntoTheSharedLanguageIsTheOtherWayAround) {
  const auto out = made(), back = made({{"into_shared", true}});
  const auto strip = [](const at::Tensor& field) { return sentences(field); };
  EXPECT_EQ(strip(out.train.at("source_token")), strip(back.train.at("token")));
  EXPECT_EQ(strip(out.train.at("token")), strip(back.train.at("source_token")));
  EXPECT_TRUE(back.train.at("token").select(1, 1).eq(4).all().item<bool>());
  EXPECT_TRUE(at::equal(back.train.at("source_token").select(1, 0), back.train.at("domain") + 5));
}

TEST(Translations, RefusesWhatCannotBe) {
  expect_part(refusal<ValueError>([] { made({{"pairs", Json::array()}}); }), "1 to 512 directions, got 0");
  expect_part(refusal<ValueError>([] { made({{"pairs", {2.5}}}); }), "whole numbers of pairs, got 2.5");
  EXPECT_THROW(made({{"pairs", {0}}}), ValueError);
  EXPECT_THROW(made({{"words", 4}}), ValueError);
  EXPECT_THROW(made({{"noise", 1.5}}), ValueError);
}

}  // namespace gw::test::translations_cases
