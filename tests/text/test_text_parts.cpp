// The parts one by one, where the golden files do not reach.
#include <gtest/gtest.h>

#include "gatewright/base/rng.h"
#include "gatewright/text/bpe.h"
#include "gatewright/text/byte_alphabet.h"
#include "gatewright/text/regex.h"
#include "gatewright/text/splits.h"
#include "gatewright/text/unicode.h"
#include "gatewright/text/unigram.h"
#include "tests/support/refusal.h"

namespace gw {
namespace {

using test::expect_part;
using test::refusal;

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  std::vector<std::string> found;
  Regex(pattern, "test").each_match(text, [&](size_t begin, size_t end) {
    found.push_back(text.substr(begin, end - begin));
  });
  return found;
}

using Strings = std::vector<std::string>;

TEST(Regex, MeansWhatTheFilesMean) {
  EXPECT_EQ(matches("\\s", "a\u180E\u00A0\u0085b"),
            (Strings{"\u00A0", "\u0085"}));  // PCRE2 takes U+180E for a space
  EXPECT_EQ(matches("[\\s]+", "\u180E \t"), (Strings{" \t"}));
  EXPECT_EQ(matches("\\S+", "a\u180E b"), (Strings{"a\u180E", "b"}));
  EXPECT_EQ(matches("\\w+", "e\u0301a\u203F1 -"),
            (Strings{"e\u0301a\u203F1"}));  // marks and connectors are of words
  EXPECT_EQ(matches("\\h+", "fg0"), (Strings{"f", "0"}));
  EXPECT_EQ(matches("^b$", "a\nb\nc"), (Strings{"b"}));
  EXPECT_EQ(matches("[]a]+", "a]b"), (Strings{"a]"}));
  EXPECT_EQ(matches("[[:alpha:]]+", "ab1"), (Strings{"ab"}));
  EXPECT_EQ(matches("a*", "baac"), (Strings{"", "aa", ""}));  // no empty match right behind another
  EXPECT_EQ(matches("(?i:'s|'ll)", "it'S we'LL"), (Strings{"'S", "'LL"}));
}

TEST(Regex, RefusesWhatItWouldReadOtherwise) {
  const auto message = [](const std::string& pattern) {
    return refusal<ValueError>([&] { Regex(pattern, "place"); });
  };
  expect_part(message("[\\p{L}&&[^a]]"),
              "place: expected a pattern that PCRE2 reads as its author did, got && in a class at byte 6");
  expect_part(message("[a[b]]"), "a class inside a class");
  expect_part(message("[^\\W]"), "a negated shorthand");
  expect_part(message("(a"), "place: expected a regular expression");
  expect_part(message("a\\"), "place: expected a regular expression");
  expect_part(message("\\C"), "place: expected a regular expression");
  expect_part(message(std::string(70000, 'a')), "at most 65536 bytes");
  expect_part(message(std::string(1000, '(') + std::string(1000, ')')),
              "place: expected a regular expression");
}

TEST(Regex, StopsAtItsLimits) {
  const Regex hostile("(a+)+$", "place");
  const auto message =
      refusal<ValueError>([&] { hostile.each_match(std::string(64, 'a') + "b", [](size_t, size_t) {}); });
  expect_part(message, "place: expected a match within the limits");
  const Regex deep("(?:a|b|(c))*d", "place");  // takes stack with every repetition
  const auto stack =
      refusal<ValueError>([&] { deep.each_match(std::string(20'000'000, 'a'), [](size_t, size_t) {}); });
  expect_part(stack, "place: expected a match within the limits");
}

TEST(Unicode, BytesThatAreNoTextBecomeReplacements) {
  EXPECT_EQ(valid_utf8("a\xFF"
                       "b"),
            "a\uFFFDb");
  EXPECT_EQ(valid_utf8("\xE2\x82"), "\uFFFD");  // one for the longest beginning
  EXPECT_EQ(valid_utf8("\xE2\x82"
                       "a"),
            "\uFFFDa");
  EXPECT_EQ(valid_utf8("\xE0\x80\x80"), "\uFFFD\uFFFD\uFFFD");  // no such beginning
  EXPECT_EQ(valid_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");  // a surrogate
  EXPECT_EQ(valid_utf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(valid_utf8("\xF0\x9F\x98\x80"), "\U0001F600");
  EXPECT_EQ(unfinished_utf8("a\xF0\x9F\x98"), 3u);
  EXPECT_EQ(unfinished_utf8("a\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(unfinished_utf8("a\xE0\x80"), 0u);  // decided already
  EXPECT_EQ(unfinished_utf8("\xC3"), 1u);
  EXPECT_EQ(unfinished_utf8("a\x80\x80\x80"), 0u);
}

TEST(Unicode, FormsAndClasses) {
  EXPECT_EQ(normal_form("e\u0301\uFB01", NormalForm::kNfc), "\u00E9\uFB01");
  EXPECT_EQ(normal_form("\u00E9\uFB01", NormalForm::kNfd), "e\u0301\uFB01");
  EXPECT_EQ(normal_form("e\u0301\uFB01", NormalForm::kNfkc), "\u00E9fi");
  EXPECT_EQ(normal_form(std::string("\u00E9\0\u00E9", 5), NormalForm::kNfc).size(),
            5u);  // zero bytes are text
  EXPECT_EQ(lowercase("\u0130\u00C9\u03A3A"), "i\u0307\u00E9\u03C3a");
  EXPECT_EQ(grapheme_end("\U0001F468\u200D\U0001F469a", 0), 11u);
  EXPECT_TRUE(is_word(0x24B6) && is_word(0x200D) && !is_word(0x2460) && !is_word('-'));
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  std::string back;
  ASSERT_TRUE(append_as_bytes(back, as_characters(all)));
  EXPECT_EQ(back, all);
  EXPECT_FALSE(append_as_bytes(back, "a b"));
  EXPECT_EQ(back, all);
}

Strings cut(const std::string& text, SplitBehavior behavior, bool invert = false) {
  CutText made{text, {{0, text.size(), true}}};
  const Finder digits = [](std::string_view piece, const FoundMatch& found) {
    for (size_t i = 0; i < piece.size(); ++i)
      if (piece[i] >= '0' && piece[i] <= '9') found(i, i + 1);
  };
  split_pieces(made, digits, behavior, invert);
  Strings pieces;
  for (const auto& piece : made.pieces)
    pieces.push_back(made.text.substr(piece.begin, piece.end - piece.begin));
  return pieces;
}

TEST(Splits, BehaveAsTheyAreCalled) {
  EXPECT_EQ(cut("a12b", SplitBehavior::kIsolated), (Strings{"a", "1", "2", "b"}));
  EXPECT_EQ(cut("a12b", SplitBehavior::kRemoved), (Strings{"a", "b"}));
  EXPECT_EQ(cut("a12b", SplitBehavior::kRemoved, true), (Strings{"1", "2"}));
  EXPECT_EQ(cut("a12b", SplitBehavior::kContiguous), (Strings{"a", "12", "b"}));
  EXPECT_EQ(cut("a12b", SplitBehavior::kMergedWithPrevious), (Strings{"a1", "2", "b"}));
  EXPECT_EQ(cut("a12b", SplitBehavior::kMergedWithNext), (Strings{"a", "1", "2b"}));
  EXPECT_EQ(cut("", SplitBehavior::kIsolated), Strings{});
}

/// The definition: again and again the pair of lowest rank, the leftmost of equals.
std::vector<int32_t> merged_by_hand(const MergeTable& merges, std::vector<int32_t> symbols) {
  while (true) {
    size_t best = symbols.size();
    MergeTable::Merge lowest;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto merge = merges.find(symbols[i], symbols[i + 1]);
      if (merge.rank < lowest.rank) lowest = merge, best = i;
    }
    if (best == symbols.size()) return symbols;
    symbols[best] = lowest.id;
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

TEST(Bpe, ShortAndLongWordsMergeByTheDefinition) {
  for (uint64_t trial = 0; trial < 60; ++trial) {
    const Rng rng = Rng(3).fork("bpe", trial);
    Vocabulary vocabulary;
    Strings tokens{"a", "b", "c"};
    if (trial % 3 == 0) tokens = {"a", "b", "c", "d", "e", "f", "g", "h"};  // some never stand side by side
    const size_t letters = tokens.size();
    for (const auto& token : tokens) vocabulary.add(token, vocabulary.end());
    MergeTable merges;
    for (uint64_t i = 0, rank = 0; i < 60; ++i) {
      const std::string left = tokens[rng.below(2 * i, tokens.size())],
                        right = tokens[rng.below(2 * i + 1, tokens.size())];
      if (vocabulary.find(left + right) < 0)
        vocabulary.add(left + right, vocabulary.end()), tokens.push_back(left + right);
      const auto merge_rank =
          static_cast<uint32_t>(trial % 2 == 0 ? rank++ : rng.below(1000 + i, 5));  // ties in every other
      merges.put(vocabulary.find(left), vocabulary.find(right), {merge_rank, vocabulary.find(left + right)});
    }
    const MergeTable kept = merges;
    const BpeModel model(vocabulary, std::move(merges), {});
    for (const uint64_t length : {1, 2, 39, 40, 41, 42, 300}) {
      std::string word;
      std::vector<int32_t> symbols, ids;
      for (uint64_t i = 0; i < length; ++i) {
        symbols.push_back(static_cast<int32_t>(rng.fork("word", length).below(i, letters)));
        word += tokens[static_cast<size_t>(symbols.back())];
      }
      model.encode(word, ids);
      EXPECT_EQ(ids, merged_by_hand(kept, symbols)) << word;
    }
  }
}

TEST(Unigram, WithoutAnUnknownTokenItSaysWhatIsMissing) {
  Vocabulary vocabulary;
  vocabulary.add("a", 0);
  const UnigramModel model(vocabulary, {-1.0}, {});
  std::vector<int32_t> ids;
  model.encode("aa", ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 0}));
  expect_part(refusal<ValueError>([&] { model.encode("ab", ids); }), "expected a token for \"b\"");
}

}  // namespace
}  // namespace gw
