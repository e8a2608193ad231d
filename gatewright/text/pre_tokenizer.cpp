#include "gatewright/text/pre_tokenizer.h"

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/byte_alphabet.h"
#include "gatewright/text/regex.h"
#include "gatewright/text/replace.h"
#include "gatewright/text/splits.h"
#include "gatewright/text/unicode.h"

namespace gw::inline text {

const char* const kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

/// Cuts at matches and changes no text.
class Splitter : public PreTokenizer {
 public:
  Splitter(Finder finder, SplitBehavior behavior, bool invert = false)
      : finder_(std::move(finder)), behavior_(behavior), invert_(invert) {}
  void cut(CutText& text) const override { split_pieces(text, finder_, behavior_, invert_); }

 private:
  Finder finder_;
  SplitBehavior behavior_;
  bool invert_;
};

class Several : public PreTokenizer {
 public:
  explicit Several(std::vector<PreTokenizerPtr> parts) : parts_(std::move(parts)) {}
  void cut(CutText& text) const override {
    for (const auto& part : parts_) part->cut(text);
  }

 private:
  std::vector<PreTokenizerPtr> parts_;
};

template <class Predicate>
Finder each_code_point(Predicate matches) {
  return [matches](std::string_view piece, const FoundMatch& found) {
    for (size_t at = 0; at < piece.size();) {
      const size_t from = at;
      if (matches(next_code_point(piece, at))) found(from, at);
    }
  };
}

Finder each_word(std::string word) {
  return [word = std::move(word)](std::string_view piece, const FoundMatch& found) {
    if (word.empty()) return;
    for (size_t at = piece.find(word); at != std::string_view::npos; at = piece.find(word, at + word.size()))
      found(at, at + word.size());
  };
}

Finder each_match(std::shared_ptr<const Regex> regex) {
  return [regex = std::move(regex)](std::string_view piece, const FoundMatch& found) {
    regex->each_match(piece, found);
  };
}

/// Runs of word characters and runs of what is neither those nor space.
void words_and_signs(std::string_view piece, const FoundMatch& found) {
  const auto kind = [](char32_t c) { return is_word(c) ? 1 : is_space(c) ? 0 : 2; };
  size_t begin = 0;
  int running = 0;
  for (size_t at = 0; at < piece.size();) {
    const size_t from = at;
    const int next = kind(next_code_point(piece, at));
    if (next == running) continue;
    if (running != 0) found(begin, from);
    begin = from;
    running = next;
  }
  if (running != 0) found(begin, piece.size());
}

/// Writes every piece anew, one behind the other.
template <class Write>
void rewrite(CutText& text, Write write) {
  std::string out;
  out.reserve(text.text.size() + text.text.size() / 2 + 16);
  for (auto& piece : text.pieces) {
    const size_t begin = out.size();
    write(std::string_view(text.text).substr(piece.begin, piece.end - piece.begin), piece.first, out);
    piece.begin = begin;
    piece.end = out.size();
  }
  text.text = std::move(out);
}

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool prefix, std::shared_ptr<const Regex> regex) : prefix_(prefix), regex_(std::move(regex)) {}
  void cut(CutText& text) const override {
    if (prefix_) {
      rewrite(text, [](std::string_view piece, bool, std::string& out) {
        if (piece.empty() || piece[0] != ' ') out.push_back(' ');
        out += piece;
      });
    }
    if (regex_ != nullptr) split_pieces(text, each_match(regex_), SplitBehavior::kIsolated);
    rewrite(text, [](std::string_view piece, bool, std::string& out) { append_as_characters(out, piece); });
  }

 private:
  bool prefix_;
  std::shared_ptr<const Regex> regex_;
};

class Metaspace : public PreTokenizer {
 public:
  explicit Metaspace(const Field& field)
      : mark_(field.at("replacement").character()), split_(field.flag_or("split", true)) {
    const std::string scheme = field.text_or("prepend_scheme", "always");
    GW_CHECK(scheme == "always" || scheme == "first" || scheme == "never",
             "{}.prepend_scheme: expected always, first or never, got \"{}\"", field.place(),
             shown(scheme, 60));
    const bool prefix = field.flag_or("add_prefix_space", true);
    GW_CHECK(prefix || scheme == "never" || !field.has("prepend_scheme"),
             "{}.add_prefix_space: expected true beside the prepend_scheme \"{}\", got false", field.place(),
             scheme);
    always_ = prefix && scheme == "always";
    first_ = prefix && scheme == "first";
  }
  void cut(CutText& text) const override {
    rewrite(text, [&](std::string_view piece, bool first, std::string& out) {
      const bool marked = piece.substr(0, 1) == " " || piece.substr(0, mark_.size()) == mark_;
      if (!marked && (always_ || (first_ && first))) out += mark_;
      for (const char c : piece) c == ' ' ? out += mark_ : out += c;
    });
    if (split_) split_pieces(text, each_word(mark_), SplitBehavior::kMergedWithNext);
  }

 private:
  std::string mark_;
  bool split_, always_ = false, first_ = false;
};

PreTokenizerPtr make_split(const Field& field) {
  Pattern pattern(field.at("pattern"));
  Finder finder = pattern.regex ? each_match(std::move(pattern.regex)) : each_word(std::move(pattern.word));
  return std::make_shared<Splitter>(std::move(finder), split_behavior(field.at("behavior")),
                                    field.flag_or("invert", false));
}

PreTokenizerPtr make_several(const Field& field) {
  const Field list = field.at("pretokenizers");
  std::vector<PreTokenizerPtr> parts;
  for (size_t i = 0; i < list.size(); ++i) parts.push_back(make_pre_tokenizer(list[i]));
  return std::make_shared<Several>(std::move(parts));
}

PreTokenizerPtr make_byte_level(const Field& field) {
  std::shared_ptr<const Regex> regex;
  if (field.flag_or("use_regex", true)) regex = std::make_shared<const Regex>(kGpt2Pattern, field.place());
  return std::make_shared<ByteLevel>(field.flag_or("add_prefix_space", true), std::move(regex));
}

template <class Predicate>
PreTokenizerPtr split_at(Predicate predicate, SplitBehavior behavior) {
  return std::make_shared<Splitter>(each_code_point(predicate), behavior);
}

PreTokenizerPtr make_splitter(const Field& field, const std::string& type) {
  if (type == "Whitespace") return std::make_shared<Splitter>(words_and_signs, SplitBehavior::kRemoved, true);
  if (type == "WhitespaceSplit") return split_at(is_space, SplitBehavior::kRemoved);
  if (type == "Digits")
    return split_at(is_numeric, field.flag_or("individual_digits", false) ? SplitBehavior::kIsolated
                                                                          : SplitBehavior::kContiguous);
  if (type == "Punctuation")
    return split_at(is_punctuation,
                    field.has("behavior") ? split_behavior(field.at("behavior")) : SplitBehavior::kIsolated);
  if (type == "CharDelimiterSplit")
    return std::make_shared<Splitter>(each_word(field.at("delimiter").character()), SplitBehavior::kRemoved);
  if (type == "BertPreTokenizer")
    return std::make_shared<Several>(std::vector<PreTokenizerPtr>{
        split_at(is_space, SplitBehavior::kRemoved), split_at(is_punctuation, SplitBehavior::kIsolated)});
  return nullptr;
}

}  // namespace

PreTokenizerPtr make_pre_tokenizer(const Field& field) {
  const std::string& type = field.type();
  if (type == "ByteLevel") return make_byte_level(field);
  if (type == "Split") return make_split(field);
  if (type == "Metaspace") return std::make_shared<Metaspace>(field);
  if (type == "Sequence") return make_several(field);
  if (PreTokenizerPtr made = make_splitter(field, type)) return made;
  fail("{}.type: expected a pre-tokenizer, got \"{}\"{}", field.place(), shown(type, 60),
       near_miss(type, {"BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "Metaspace",
                        "Punctuation", "Sequence", "Split", "Whitespace", "WhitespaceSplit"}));
}

PreTokenizerPtr make_byte_level_splits(const std::vector<std::string>& patterns, const std::string& place) {
  std::vector<PreTokenizerPtr> parts;
  for (const auto& pattern : patterns)
    parts.push_back(std::make_shared<Splitter>(each_match(std::make_shared<const Regex>(pattern, place)),
                                               SplitBehavior::kIsolated));
  parts.push_back(std::make_shared<ByteLevel>(false, nullptr));
  return std::make_shared<Several>(std::move(parts));
}

}  // namespace gw::inline text
