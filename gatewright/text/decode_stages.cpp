#include "gatewright/text/decode_stages.h"

#include "gatewright/base/shown.h"
#include "gatewright/text/byte_alphabet.h"
#include "gatewright/text/unicode.h"

namespace gw::inline text {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/// The byte of "<0x..>", -1 for other tokens.
int byte_of_token(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return -1;
  const int high = hex_digit(token[3]), low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : 16 * high + low;
}

}  // namespace

void FuseStage::finish() {
  next().end_token();
  next().finish();
}

void ByteLevelStage::end_token() {
  if (!append_as_bytes(bytes_, token_)) bytes_ += token_;
  token_.clear();
  const size_t whole = bytes_.size() - unfinished_utf8(bytes_);
  if (whole == 0) return;
  next().part(valid_utf8(std::string_view(bytes_).substr(0, whole)));
  bytes_.erase(0, whole);
}

void ByteLevelStage::finish() {
  next().part(valid_utf8(bytes_));
  bytes_.clear();
  next().end_token();
  next().finish();
}

void ByteFallbackStage::flush() {
  const auto send = [&](std::string_view text) { next().part(text), next().end_token(); };
  if (bytes_.empty()) return;
  if (invalid_utf8(bytes_) == std::string_view::npos) {
    send(bytes_);
  } else {
    for (size_t i = 0; i < bytes_.size(); ++i) send("\xEF\xBF\xBD");
  }
  bytes_.clear();
}

void ByteFallbackStage::end_token() {
  const int byte = byte_of_token(token_);
  if (byte >= 0) {
    bytes_.push_back(static_cast<char>(byte));
  } else {
    flush();
    next().part(token_);
    next().end_token();
  }
  token_.clear();
}

void ByteFallbackStage::finish() {
  flush();
  next().finish();
}

void StripStage::part(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const std::string_view one = text.substr(at, utf8_length(text[at]));
    at += one.size();
    const bool matches = one == character_;
    if (leading_ && matches && cut_ < start_) {
      ++cut_;
      continue;
    }
    leading_ = false;
    if (matches && held_ < stop_) {
      ++held_;
      continue;
    }
    if (!matches)
      for (; held_ > 0; --held_) next().part(character_);
    next().part(one);
  }
}

void StripStage::end_token() {
  cut_ = held_ = 0;
  leading_ = true;
  next().end_token();
}

void WordEndStage::send(std::string_view instead) {
  next().part(with_replaced(before_, suffix_, instead));
  next().end_token();
}

void WordEndStage::end_token() {
  if (any_) send(" ");
  any_ = true;
  before_ = std::move(token_);
  token_.clear();
}

void WordEndStage::finish() {
  if (any_) send("");
  any_ = false;
  next().finish();
}

std::string with_replaced(std::string_view text, std::string_view word, std::string_view by) {
  std::string out;
  size_t done = 0;
  for (size_t at = word.empty() ? std::string_view::npos : text.find(word); at != std::string_view::npos;
       at = text.find(word, done)) {
    out.append(text.substr(done, at - done)).append(by);
    done = at + word.size();
  }
  return out.append(text.substr(done));
}

}  // namespace gw::inline text
