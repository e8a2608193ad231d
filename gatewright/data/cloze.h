#pragma once
// Questions about texts, made without people: a sentence with a gap, and the sentences around it, in which
// the missing word stands once.
#include <cstdint>
#include <string>
#include <vector>

#include "gatewright/base/rng.h"

namespace gw::inline data {

/// Ids below kFirstWord are no words.
inline constexpr int64_t kNoWord = 0, kGapWord = 1, kSeparator = 2, kFirstWord = 3;

struct ClozeForm {
  int64_t question = 16,
          context = 48;       ///< words of each; what is longer is cut, what is shorter filled with kNoWord
  int64_t vocabulary = 4096;  ///< ids of words are their hash below it
  int64_t letters = 4;        ///< of a word that may be asked for, at least
  int64_t common = 100;       ///< so many of the text's most frequent words are not asked for
};

/// question words with one kGapWord, kSeparator, context words. `place` counts from the first context word.
struct ClozeQuestion {
  std::vector<int64_t> token;
  int64_t place = 0;
};

/// Words in small letters, sentence by sentence, of one paragraph. A word is letters, digits, and - ' _
/// between them; bytes above 127 count as letters. A sentence ends at . ! or ? before a space or the end.
std::vector<std::vector<std::string>> sentences_of(const std::string& paragraph);

/// At most one question for each sentence of at least 5 words, in the order of the text. Paragraphs are
/// parted by empty lines. The word that is asked for stands once in its sentence and once in the context: the
/// words of the paragraph's other sentences, of which `form.context` in a row are taken where there are more.
/// Cost: a pass over the text; 8 bytes for each token.
std::vector<ClozeQuestion> cloze_questions(const std::string& text, const ClozeForm& form, const Rng& rng);

/// The id of a word. Two words may share one.
int64_t word_id(const std::string& word, int64_t vocabulary);

}  // namespace gw::inline data
