#include "gatewright/data/cloze.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

namespace gw::inline data {
namespace {

bool letter(char c) {
  const auto u = static_cast<unsigned char>(c);
  return u > 127 || std::isalnum(u) != 0;
}

/// Paragraphs of a text: what stands between empty lines.
std::vector<std::string> paragraphs_of(const std::string& text) {
  std::vector<std::string> out;
  std::string now;
  for (size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    const auto line = text.substr(at, end - at);
    if (line.find_first_not_of(" \t\r\f") == std::string::npos) {
      if (!now.empty()) out.push_back(std::move(now)), now.clear();
    } else {
      now += line + "\n";
    }
    at = end + 1;
  }
  if (!now.empty()) out.push_back(std::move(now));
  return out;
}

using Words = std::vector<std::string>;

std::set<std::string> common_words(const std::vector<std::vector<Words>>& paragraphs, int64_t count) {
  std::unordered_map<std::string, int64_t> counts;
  for (const auto& paragraph : paragraphs) {
    for (const auto& sentence : paragraph) {
      for (const auto& word : sentence) ++counts[word];
    }
  }
  std::vector<std::pair<int64_t, std::string>> order;
  for (const auto& [word, n] : counts) order.emplace_back(-n, word);
  std::sort(order.begin(), order.end());  // among equals the alphabet decides, not the hash
  std::set<std::string> out;
  for (size_t i = 0; i < order.size() && static_cast<int64_t>(i) < count; ++i) out.insert(order[i].second);
  return out;
}

/// The words of all sentences but one; a row of `most` of them where there are more.
Words context_of(const std::vector<Words>& sentences, size_t but, int64_t most, const Rng& rng) {
  Words all;
  for (size_t s = 0; s < sentences.size(); ++s) {
    if (s != but) all.insert(all.end(), sentences[s].begin(), sentences[s].end());
  }
  const auto size = static_cast<int64_t>(all.size());
  if (size <= most) return all;
  const auto first = static_cast<int64_t>(rng.below(0, static_cast<uint64_t>(size - most + 1)));
  return {all.begin() + first, all.begin() + first + most};
}

/// Places in the sentence of words that can be asked for.
std::vector<int64_t> askable(const Words& sentence, const Words& context, const ClozeForm& form,
                             const std::set<std::string>& common) {
  std::vector<int64_t> out;
  for (size_t i = 0; i < sentence.size(); ++i) {
    const auto& word = sentence[i];
    const bool asked = static_cast<int64_t>(word.size()) >= form.letters && common.count(word) == 0 &&
                       std::count(sentence.begin(), sentence.end(), word) == 1 &&
                       std::count(context.begin(), context.end(), word) == 1;
    if (asked) out.push_back(static_cast<int64_t>(i));
  }
  return out;
}

/// The sentence with a gap at `gap`, cut around it, the separator and the context.
ClozeQuestion laid_out(const Words& sentence, int64_t gap, const Words& context, const ClozeForm& form) {
  ClozeQuestion out;
  const auto size = static_cast<int64_t>(sentence.size());
  const int64_t first =
      std::clamp<int64_t>(gap - form.question / 2, 0, std::max<int64_t>(0, size - form.question));
  for (int64_t i = first; i < first + form.question; ++i)
    out.token.push_back(i >= size  ? kNoWord
                        : i == gap ? kGapWord
                                   : word_id(sentence[static_cast<size_t>(i)], form.vocabulary));
  out.token.push_back(kSeparator);
  const auto& answer = sentence[static_cast<size_t>(gap)];
  out.place = std::find(context.begin(), context.end(), answer) - context.begin();
  for (int64_t i = 0; i < form.context; ++i)
    out.token.push_back(i < static_cast<int64_t>(context.size())
                            ? word_id(context[static_cast<size_t>(i)], form.vocabulary)
                            : kNoWord);
  return out;
}

}  // namespace

int64_t word_id(const std::string& word, int64_t vocabulary) {
  uint64_t hash = 14695981039346656037ull;  // FNV-1a
  for (const char c : word) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return kFirstWord + static_cast<int64_t>(hash % static_cast<uint64_t>(vocabulary - kFirstWord));
}

std::vector<std::vector<std::string>> sentences_of(const std::string& paragraph) {
  std::vector<Words> out;
  Words now;
  std::string word;
  const auto close_word = [&] {
    if (!word.empty()) now.push_back(std::move(word)), word.clear();
  };
  for (size_t i = 0; i < paragraph.size(); ++i) {
    const char c = paragraph[i];
    const bool more = i + 1 < paragraph.size();
    const bool inside =
        (c == '-' || c == '\'' || c == '_') && !word.empty() && more && letter(paragraph[i + 1]);
    if (letter(c) || inside) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      continue;
    }
    close_word();
    const bool ends = (c == '.' || c == '!' || c == '?') &&
                      (!more || std::isspace(static_cast<unsigned char>(paragraph[i + 1])) != 0);
    if (ends && !now.empty()) out.push_back(std::move(now)), now.clear();
  }
  close_word();
  if (!now.empty()) out.push_back(std::move(now));
  return out;
}

std::vector<ClozeQuestion> cloze_questions(const std::string& text, const ClozeForm& form, const Rng& rng) {
  constexpr size_t kShortest = 5;
  std::vector<std::vector<Words>> paragraphs;
  for (const auto& paragraph : paragraphs_of(text)) paragraphs.push_back(sentences_of(paragraph));
  const auto common = common_words(paragraphs, form.common);
  std::vector<ClozeQuestion> out;
  uint64_t number = 0;
  for (const auto& sentences : paragraphs) {
    for (size_t s = 0; s < sentences.size() && sentences.size() > 1; ++s) {
      const Rng own = rng.fork("sentence", number++);
      if (sentences[s].size() < kShortest) continue;
      const auto context = context_of(sentences, s, form.context, own.fork("context"));
      const auto places = askable(sentences[s], context, form, common);
      if (places.empty()) continue;
      out.push_back(laid_out(sentences[s], places[own.below(0, places.size())], context, form));
    }
  }
  return out;
}

}  // namespace gw::inline data
