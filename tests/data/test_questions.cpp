// Questions with known answers: files of them, gaps in texts, what an answer is worth, and how they are
// split.
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "gatewright/data/questions.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

namespace gw::test::questions_cases {

std::string file_of(const Scratch& folder, const std::string& name, const std::string& text) {
  const auto path = folder / name;
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

TEST(Questions, AreReadFromLinesOfJson) {
  const Scratch folder;
  const auto path = file_of(folder, "q.jsonl",
                            "{\"text\": \"1+1\", \"answer\": 2, \"category\": \"sums\"}\n\n"
                            "  {\"text\": \"up\", \"answer\": \"down\", \"note\": [1]}\r\n");
  const auto questions = read_questions(path);
  ASSERT_EQ(questions.size(), 2u);
  EXPECT_EQ(questions[0], (Question{"1+1", "2", "sums"}));
  EXPECT_EQ(questions[1], (Question{"up", "down", ""}));
}

TEST(Questions, MalformedLinesAreNamed) {
  const Scratch folder;
  const std::pair<const char*, const char*> cases[] = {
      {"{\"text\": \"a\", \"answer\": 1}\nnone\n", "q.jsonl:2:1"},
      {"[1]\n", "q.jsonl:1, got array"},
      {"{\"text\": \"a\"}\n", "expected a \"text\" and an \"answer\""},
      {"{\"text\": [], \"answer\": 1}\n", "expected text for \"text\""},
      {"\n\n", "expected JSON lines"},
      {"{\"text\": \"\\xff\", \"answer\": 1}\n", "q.jsonl:1"},
  };
  for (const auto& [text, part] : cases) {
    const auto path = file_of(folder, "q.jsonl", text);
    expect_part(refusal<ValueError>([&] { read_questions(path); }), part);
  }
  const auto path = file_of(folder, "q.jsonl", std::string(kLongestQuestion + 1, 'x'));
  expect_part(refusal<ValueError>([&] { read_questions(path); }), "at most 1048576 bytes");
  expect_part(refusal<IoError>([] { read_questions("no-such-questions.jsonl"); }), "no-such-questions.jsonl");
}

TEST(AnswerQuality, ExactAndByCharacters) {
  EXPECT_EQ(answer_quality("exact", "42", " 42\n"), 1);
  EXPECT_EQ(answer_quality("exact", "42", "43"), 0);
  EXPECT_EQ(answer_quality("characters", "abcd", "abxd"), 0.75);
  EXPECT_EQ(answer_quality("characters", "abcd", "ab"), 0.5);
  EXPECT_EQ(answer_quality("characters", "ab", "abcd"), 0.5);
  EXPECT_EQ(answer_quality("characters", "ä▁", "ä?"), 0.5) << "characters, not bytes";
  EXPECT_EQ(answer_quality("characters", "", ""), 1);
  expect_part(refusal<ValueError>([] { answer_quality("exacd", "", ""); }), "did you mean \"exact\"?");
}

GapOptions gaps(const std::vector<std::string>& files) {
  GapOptions options;
  options.files = files, options.length = 40, options.gaps = 6, options.held_out = 0.5;
  return options;
}

TEST(Gaps, HideCharactersOfTheHeldOutPart) {
  const Scratch folder;
  std::string text;
  for (int i = 0; i < 400; ++i) text += static_cast<char>(i < 200 ? 'A' : 'a' + i % 26);
  const auto path = file_of(folder, "letters.txt", text);
  const auto questions = gap_questions(gaps({path}), Rng(1));
  ASSERT_EQ(questions.size(), 5u);
  for (size_t p = 0; p < 5; ++p) {
    const auto& q = questions[p];
    EXPECT_EQ(q.category, "letters");
    EXPECT_EQ(q.answer.size(), 6u);
    std::string filled;
    size_t next = 0;
    for (size_t i = 0; i < q.text.size();) {
      if (q.text.compare(i, 3, kGap) == 0)
        filled += q.answer[next++], i += 3;
      else
        filled += q.text[i++];
    }
    EXPECT_EQ(filled, text.substr(200 + 40 * p, 40)) << "answers go where the gaps are";
  }
  EXPECT_EQ(gap_questions(gaps({path}), Rng(1)), questions);
  EXPECT_NE(gap_questions(gaps({path}), Rng(2)), questions);
}

TEST(Gaps, RefuseWhatTheyCannotCut) {
  const Scratch folder;
  const auto few = file_of(folder, "few.txt", "only a few words");
  expect_part(refusal<ValueError>([&] { gap_questions(gaps({few}), Rng(1)); }), "at least 40 characters");
  expect_part(refusal<ValueError>([&] { gap_questions(gaps({}), Rng(1)); }), "at least one file");
  const auto odd = file_of(folder, "odd.txt", std::string(100, '\xfe'));
  EXPECT_EQ(gap_questions(gaps({odd}), Rng(1))[0].answer, "??????");
  expect_part(refusal<ValueError>([&] { gap_questions(gaps({odd, odd}), Rng(1)); }), "\"odd\" twice");
  auto many = gaps({odd});
  many.gaps = 30;
  expect_part(refusal<ValueError>([&] { gap_questions(many, Rng(1)); }), "at most 9 gaps in 40 characters");
}

std::vector<Question> drawn(int count) {
  std::vector<Question> questions;
  for (int i = 0; i < count; ++i)
    questions.push_back({std::to_string(i), "x", std::string(1, static_cast<char>('a' + i % 4))});
  return questions;
}

TEST(SplitQuestions, EveryQuestionHasOnePlace) {
  const auto split = split_questions(drawn(200), {"d"}, {0.4, 0.3}, Rng(3));
  EXPECT_EQ(split.categories, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(split.router.size(), 60u);
  EXPECT_EQ(split.scores.size(), 45u);
  EXPECT_EQ(split.test.size(), 45u);
  EXPECT_EQ(split.outside.size(), 50u);
  std::map<std::string, int> met;
  for (const auto* part : {&split.router, &split.scores, &split.test, &split.outside})
    for (const auto& q : *part) ++met[q.text];
  EXPECT_EQ(met.size(), 200u);
  for (const auto& q : split.outside) EXPECT_EQ(q.category, "d");
  EXPECT_EQ(split_questions(drawn(200), {"d"}, {0.4, 0.3}, Rng(3)).test, split.test);
}

TEST(SplitQuestions, RefusesWhatLeavesAPartEmpty) {
  expect_part(refusal<ValueError>([] {
                split_questions(drawn(200), {"e"}, {0.4, 0.3}, Rng(3));
              }),
              "outside category \"e\"");
  expect_part(refusal<ValueError>([] {
                split_questions(drawn(200), {"b", "c", "d"}, {0.4, 0.3}, Rng(3));
              }),
              "at least two categories");
  expect_part(refusal<ValueError>([] {
                split_questions(drawn(3), {}, {0.1, 0.1}, Rng(3));
              }),
              "for the router, the scores and the test");
  auto without = drawn(20);
  without[3].category.clear();
  expect_part(refusal<ValueError>([&] {
                split_questions(without, {}, {0.4, 0.3}, Rng(3));
              }),
              "a \"category\" for every question");
}

}  // namespace gw::test::questions_cases
