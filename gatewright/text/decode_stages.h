#pragma once
// Ways for a step of decoding to hold tokens back.
#include <string>
#include <string_view>
#include <utility>

#include "gatewright/text/decoder.h"

namespace gw::inline text {

/// Gathers the parts of a token and hands on what `change(token, index)` makes of it.
template <class Change>
class PerToken : public DecodeStage {
 public:
  explicit PerToken(Change change) : change_(std::move(change)) {}
  void part(std::string_view text) override { token_ += text; }
  void end_token() override {
    next().part(change_(std::string_view(token_), index_++));
    next().end_token();
    token_.clear();
  }

 private:
  Change change_;
  std::string token_;
  size_t index_ = 0;
};

/// All tokens become one.
class FuseStage : public DecodeStage {
 public:
  void part(std::string_view text) override { next().part(text); }
  void end_token() override {}
  void finish() override;
};

/// Bytes from GPT-2's alphabet; a token with other characters stands for its own bytes. The tokens become one
/// text.
class ByteLevelStage : public DecodeStage {
 public:
  void part(std::string_view text) override { token_ += text; }
  void end_token() override;
  void finish() override;

 private:
  std::string token_, bytes_;
};

/// A run of tokens "<0x..>" is text if together they are UTF-8, else one U+FFFD each: a run is held until it
/// ends.
class ByteFallbackStage : public DecodeStage {
 public:
  void part(std::string_view text) override { token_ += text; }
  void end_token() override;
  void finish() override;

 private:
  void flush();
  std::string token_, bytes_;
};

/// Takes up to `start` and `stop` times `character` off the ends of a token.
class StripStage : public DecodeStage {
 public:
  StripStage(std::string character, size_t start, size_t stop)
      : character_(std::move(character)), start_(start), stop_(stop) {}
  void part(std::string_view text) override;
  void end_token() override;

 private:
  std::string character_;
  size_t start_, stop_, cut_ = 0, held_ = 0;
  bool leading_ = true;
};

/// The suffix is the space after a word; the last token has none.
class WordEndStage : public DecodeStage {
 public:
  explicit WordEndStage(std::string suffix) : suffix_(std::move(suffix)) {}
  void part(std::string_view text) override { token_ += text; }
  void end_token() override;
  void finish() override;

 private:
  void send(std::string_view instead);
  std::string suffix_, token_, before_;
  bool any_ = false;
};

/// `text` with every `word` replaced.
std::string with_replaced(std::string_view text, std::string_view word, std::string_view by);

}  // namespace gw::inline text
