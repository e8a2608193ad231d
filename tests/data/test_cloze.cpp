// Questions made of texts: words, sentences, what may be asked, how it is laid out.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "gatewright/base/registry.h"
#include "gatewright/data/cloze.h"
#include "gatewright/data/dataset.h"
#include "tests/data/temp_directory.h"
#include "tests/support/refusal.h"

namespace gw::test::cloze_cases {

using Sentences = std::vector<std::vector<std::string>>;

TEST(Cloze, SentencesAreWordsInSmallLetters) {
  EXPECT_EQ(sentences_of("The Cat's well-known; 3.5 kg! Is it? (Yes)."),
            (Sentences{{"the", "cat's", "well-known", "3", "5", "kg"}, {"is", "it"}, {"yes"}}));
  EXPECT_EQ(sentences_of("no end - 'quoted' _x_\nnext line"),
            (Sentences{{"no", "end", "quoted", "x", "next", "line"}}));
  EXPECT_TRUE(sentences_of(" ... ! ").empty());
}

constexpr const char* kText =
    "Short one. The orchard behind our house bears golden apples. A thief came for golden coins "
    "at night and left the orchard gate open.\n"
    " \n"
    "A single sentence is not a question about orchard walls.\n";

ClozeForm form() {
  ClozeForm made;
  made.question = 8, made.context = 12, made.vocabulary = 5000, made.common = 0;
  return made;
}

TEST(Cloze, AsksForWordsThatStandOnceOnBothSides) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto questions = cloze_questions(kText, form(), Rng(seed));
    for (const auto& q : questions) {
      ASSERT_EQ(q.token.size(), 8u + 1 + 12);
      EXPECT_EQ(std::count(q.token.begin(), q.token.begin() + 8, kGapWord), 1);
      EXPECT_EQ(q.token[8], kSeparator);
      const auto answer = q.token[static_cast<size_t>(9 + q.place)];
      EXPECT_TRUE(answer == word_id("orchard", 5000) || answer == word_id("golden", 5000));
      EXPECT_EQ(std::count(q.token.begin(), q.token.begin() + 8, answer), 0) << "the gap hides it";
      EXPECT_EQ(std::count(q.token.begin() + 9, q.token.end(), answer), 1);
    }
    EXPECT_LE(questions.size(), 2u) << "the short sentence and the single one give none";
    const auto again = cloze_questions(kText, form(), Rng(seed));
    ASSERT_EQ(again.size(), questions.size());
    for (size_t i = 0; i < again.size(); ++i) EXPECT_EQ(again[i].token, questions[i].token);
  }
  auto none = form();
  none.letters = 8;
  EXPECT_TRUE(cloze_questions(kText, none, Rng(0)).empty()) << "golden and orchard are too short";
  none = form();
  none.common = 1000;
  EXPECT_TRUE(cloze_questions(kText, none, Rng(0)).empty()) << "all words are common";
}

TEST(Cloze, WordsHaveIdsOfTheirOwnRange) {
  for (const char* word : {"", "a", "orchard", "\xc3\xa4"}) {
    EXPECT_GE(word_id(word, 16), kFirstWord);
    EXPECT_LT(word_id(word, 16), 16);
  }
  EXPECT_NE(word_id("orchard", 1 << 20), word_id("golden", 1 << 20));
}

TEST(ClozeDataset, TheTextsOfTheProjectGiveQuestions) {
  const Json options{{"files", Json::array({"constitution.txt"})},
                     {"outside", Json::array({"declaration.txt"})},
                     {"outside_train", 3},
                     {"common", 20}};
  const auto data = make_part<Dataset>("cloze", options, {})->load();
  EXPECT_EQ(data.classes, 48);
  EXPECT_EQ(data.domain_names, (std::vector<std::string>{"constitution", "declaration"}));
  EXPECT_EQ(data.train.at("token").size(1), 16 + 1 + 48);
  EXPECT_EQ(data.train.at("domain").sum().item<int64_t>(), 3);
  EXPECT_GT(data.train.size(), 30);
  for (const auto* set : {&data.train, &data.test}) {
    const auto& token = set->at("token");
    const auto answer = token.gather(1, set->at("label").unsqueeze(1) + 17);
    EXPECT_GE(answer.min().item<int64_t>(), kFirstWord);
    EXPECT_TRUE(token.narrow(1, 17, 48).eq(answer).sum(1).ge(1).all().item<bool>());
    EXPECT_LT(token.max().item<int64_t>(), data.vocabulary);
  }
}

class ClozeFiles : public TempDirectory {};

TEST_F(ClozeFiles, RefusesTextsWithoutQuestions) {
  const auto path = file("short.txt", "Only one sentence here.\n");
  expect_part(refusal<ValueError>([&] {
                make_part<Dataset>("cloze", {{"files", Json::array({path})}}, {})->load();
              }),
              "expected at least 2 questions");
  expect_part(refusal<IoError>([&] {
                make_part<Dataset>("cloze", {{"files", Json::array({"nowhere.txt"})}}, {})->load();
              }),
              "nowhere.txt");
  expect_part(refusal<ValueError>([&] {
                make_part<Dataset>("cloze", {{"files", Json::array()}}, {});
              }),
              "at least one file");
}

TEST(GraphFamilies, AFamilyIsTheSameInAnyCompanyAndHasItsEdges) {
  const auto made = [](const Json& families) {
    return make_part<Dataset>("graph_families", {{"families", families}, {"graphs", 3}}, {})->load();
  };
  const auto both = made(Json::array({"blocks", "ring"})), ring = made(Json::array({"ring"})),
             random = made(Json::array({"random"}));
  EXPECT_EQ(both.domain_names.size(), 2u);
  const auto offsets = both.train.whole("graph_offsets");
  EXPECT_EQ(offsets.numel(), 7);
  const int64_t first = offsets[3].item<int64_t>(), all = both.train.whole("x").size(0);
  EXPECT_TRUE(both.train.whole("x").narrow(0, first, all - first).equal(ring.train.whole("x")));
  EXPECT_EQ(both.train.size() + both.test.size(), all);
  // Edges stay in their graph; those of ring and blocks mostly in their class, those of random do not.
  const auto share = [](const TaskData& data) {
    const int64_t n = data.train.whole("x").size(0);
    auto label = at::empty({n}, at::kLong);
    for (const auto* set : {&data.train, &data.test}) label.index_copy_(0, set->at("node"), set->at("label"));
    const auto& edge = data.train.whole("edge");
    const auto bounds = data.train.whole("graph_offsets");
    const auto graph = at::bucketize(edge, bounds.slice(0, 1), false, true);
    EXPECT_TRUE(graph[0].equal(graph[1]));
    return label.index_select(0, edge[0])
        .eq(label.index_select(0, edge[1]))
        .to(at::kDouble)
        .mean()
        .item<double>();
  };
  EXPECT_GT(share(ring), 0.7);
  EXPECT_GT(share(both), 0.7);
  EXPECT_LT(share(random), 0.4);
  EXPECT_GT(share(made(Json::array({"hubs"}))), 0.6);
  expect_part(refusal<ValueError>([&] { made(Json::array({"rings"})); }), "got \"rings\"");
}

}  // namespace gw::test::cloze_cases
