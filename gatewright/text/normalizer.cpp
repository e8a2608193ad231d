#include "gatewright/text/normalizer.h"

#include <optional>

#include "gatewright/base/base64.h"
#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/byte_alphabet.h"
#include "gatewright/text/regex.h"
#include "gatewright/text/replace.h"
#include "gatewright/text/unicode.h"

namespace gw::inline text {
namespace {

/// A normaliser that is a function of the text.
template <class Function>
class Simple : public Normalizer {
 public:
  explicit Simple(Function function) : function_(std::move(function)) {}
  void apply(std::string& text, bool) const override { text = function_(std::string_view(text)); }

 private:
  Function function_;
};
template <class Function>
NormalizerPtr simple(Function function) {
  return std::make_shared<Simple<Function>>(std::move(function));
}

class Several : public Normalizer {
 public:
  explicit Several(std::vector<NormalizerPtr> parts) : parts_(std::move(parts)) {}
  void apply(std::string& text, bool begins) const override {
    const size_t limit = normal_limit(text.size());
    for (const auto& part : parts_) {
      part->apply(text, begins);
      GW_CHECK(text.size() <= limit, "normalizer: expected at most {} bytes, got {}", limit, text.size());
    }
  }

 private:
  std::vector<NormalizerPtr> parts_;
};

/// What is left of `text` where `keep` holds.
template <class Keep>
std::string filtered(std::string_view text, Keep keep) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    if (keep(next_code_point(text, at))) out += text.substr(from, at - from);
  }
  return out;
}

std::string stripped(std::string_view text, bool left, bool right) {
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    size_t next = begin;
    if (!is_space(next_code_point(text, next))) break;
    begin = next;
  }
  while (right && end > begin) {
    size_t previous = end;
    if (!is_space(previous_code_point(text, previous))) break;
    end = previous;
  }
  return std::string(text.substr(begin, end - begin));
}

std::string bert_cleaned(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    const char32_t value = next_code_point(text, at);
    const bool line = value == '\t' || value == '\n' || value == '\r';
    if (value == 0 || value == 0xFFFD || (is_control(value) && !line)) continue;
    is_space(value) ? out += ' ' : out += text.substr(from, at - from);
  }
  return out;
}

std::string chinese_apart(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    const bool apart = is_chinese(next_code_point(text, at));
    if (apart) out.push_back(' ');
    out += text.substr(from, at - from);
    if (apart) out.push_back(' ');
  }
  return out;
}

NormalizerPtr make_bert(const Field& field) {
  const bool clean = field.flag_or("clean_text", true), chinese = field.flag_or("handle_chinese_chars", true);
  const bool lower = field.flag_or("lowercase", true), accents = field.flag_or("strip_accents", lower);
  return simple([=](std::string_view text) {
    std::string out = clean ? bert_cleaned(text) : std::string(text);
    if (chinese) out = chinese_apart(out);
    if (accents)
      out = filtered(normal_form(out, NormalForm::kNfd), [](char32_t c) { return !is_nonspacing_mark(c); });
    return lower ? lowercase(out) : out;
  });
}

std::string nmt(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    const char32_t c = next_code_point(text, at);
    if ((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F)
      continue;
    const bool space = c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                       (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                       c == 0xFEFF || c == 0xFFFD;
    space ? out += ' ' : out += text.substr(from, at - from);
  }
  return out;
}

void check_limit(const std::string& out, std::string_view text) {
  GW_CHECK(out.size() <= normal_limit(text.size()), "normalizer: expected at most {} bytes, got more",
           normal_limit(text.size()));
}

/// Hugging Face's reading of a charsmap: whole short graphemes first, else character by character.
std::string precompiled(const Charsmap& map, std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t end = grapheme_end(text, at);
    const auto whole = end - at < 6 ? map.shortest(text.substr(at, end - at)) : std::nullopt;
    if (whole) out += whole->replacement;
    for (size_t c = at; !whole && c < end; c += utf8_length(text[c])) {
      const std::string_view part = text.substr(c, utf8_length(text[c]));
      const auto one = map.shortest(part);
      out += one ? one->replacement : part;
    }
    at = end;
    check_limit(out, text);
  }
  return out;
}

class SentencePieceNormalizer : public Normalizer {
 public:
  explicit SentencePieceNormalizer(SentencePieceText options) : options_(std::move(options)) {}

  void apply(std::string& text, bool begins) const override {
    std::string mapped;
    mapped.reserve(text.size() + 3);
    for (size_t at = 0; at < text.size();) {
      const auto match =
          options_.charsmap ? options_.charsmap->longest(std::string_view(text).substr(at)) : std::nullopt;
      const size_t size = match ? match->size : utf8_length(text[at]);
      mapped += match ? match->replacement : std::string_view(text).substr(at, size);
      at += size;
      check_limit(mapped, text);
    }
    if (options_.remove_extra_whitespaces) mapped = single_spaces(mapped);
    if (options_.dummy_prefix && begins && !mapped.empty()) mapped.insert(0, 1, ' ');
    text.clear();
    for (const char c : mapped) c == ' ' && options_.escape_whitespaces ? text += kMark : text += c;
    // A mark that was in the text counts as a space here, and nowhere else.
    while (options_.remove_extra_whitespaces && text.ends_with(kMark))
      text.resize(text.size() - kMark.size());
  }

 private:
  static constexpr std::string_view kMark = "\xE2\x96\x81";
  static std::string single_spaces(std::string_view text) {
    std::string out;
    for (const char c : text)
      if (c != ' ' || (!out.empty() && out.back() != ' ')) out.push_back(c);
    while (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
  }
  SentencePieceText options_;
};

NormalizerPtr make_several(const Field& field) {
  const Field list = field.at("normalizers");
  std::vector<NormalizerPtr> parts;
  for (size_t i = 0; i < list.size(); ++i) parts.push_back(make_normalizer(list[i]));
  return std::make_shared<Several>(std::move(parts));
}

NormalizerPtr make_parametrised(const Field& field, const std::string& type) {
  if (type == "Sequence") return make_several(field);
  if (type == "BertNormalizer") return make_bert(field);
  if (type == "Strip") {
    const bool left = field.flag_or("strip_left", true), right = field.flag_or("strip_right", true);
    return simple([=](std::string_view text) { return stripped(text, left, right); });
  }
  if (type == "Prepend") {
    const std::string before = field.at("prepend").text();
    return simple(
        [=](std::string_view text) { return text.empty() ? std::string() : before + std::string(text); });
  }
  if (type == "Replace") {
    const auto replace = std::make_shared<const Replace>(field);
    return simple([=](std::string_view text) { return replace->applied(text, normal_limit(text.size())); });
  }
  if (type == "Precompiled") {
    const Field table = field.at("precompiled_charsmap");
    const auto map =
        std::make_shared<const Charsmap>(base64_decode(table.text(), table.place()), table.place());
    return simple([=](std::string_view text) { return precompiled(*map, text); });
  }
  return nullptr;
}

}  // namespace

NormalizerPtr make_normalizer(const Field& field) {
  const std::string& type = field.type();
  const auto form = [](NormalForm as) {
    return simple([as](std::string_view text) { return normal_form(text, as); });
  };
  if (type == "NFC") return form(NormalForm::kNfc);
  if (type == "NFD") return form(NormalForm::kNfd);
  if (type == "NFKC") return form(NormalForm::kNfkc);
  if (type == "NFKD") return form(NormalForm::kNfkd);
  if (type == "Lowercase") return simple(lowercase);
  if (type == "Nmt") return simple(nmt);
  if (type == "ByteLevel") return simple(as_characters);
  if (type == "StripAccents")
    return simple(
        [](std::string_view text) { return filtered(text, [](char32_t c) { return !is_mark(c); }); });
  if (NormalizerPtr made = make_parametrised(field, type)) return made;
  fail("{}.type: expected a normaliser, got \"{}\"{}", field.place(), shown(type, 60),
       near_miss(type, {"BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt",
                        "Precompiled", "Prepend", "Replace", "Sequence", "Strip", "StripAccents"}));
}

NormalizerPtr make_sentence_piece_normalizer(SentencePieceText options) {
  return std::make_shared<SentencePieceNormalizer>(std::move(options));
}

}  // namespace gw::inline text
