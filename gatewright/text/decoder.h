#pragma once
// From tokens to text, a token at a time: what decodes a stream decodes a list as well.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gatewright/text/field.h"

namespace gw::inline text {

/// One step of decoding at work. Tokens arrive in parts of whole code points; each is closed by end_token.
class DecodeStage {
 public:
  virtual ~DecodeStage() = default;
  virtual void part(std::string_view text) = 0;
  virtual void end_token() = 0;
  /// No token follows: sends on what was held back.
  virtual void finish() { next_->finish(); }
  void connect(DecodeStage* next) { next_ = next; }

 protected:
  DecodeStage& next() { return *next_; }

 private:
  DecodeStage* next_ = nullptr;
};

/// One step of decoding as a file describes it. Immutable: threads may share one.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual std::unique_ptr<DecodeStage> stage() const = 0;
};

using DecoderPtr = std::shared_ptr<const Decoder>;

/// The steps of a tokenizer.json's decoder: BPEDecoder, ByteFallback, ByteLevel, Fuse, Metaspace, Replace,
/// Sequence, Strip, WordPiece. Errors: ValueError with the place.
std::vector<DecoderPtr> make_decoders(const Field& field);

/// Without a decoder tokens have a space between them.
DecoderPtr make_joining_decoder();
DecoderPtr make_byte_level_decoder();
/// As SentencePiece: U+2581 are spaces, "<0x..>" are bytes, and `drop_first` takes one space off the
/// beginning.
std::vector<DecoderPtr> make_sentence_piece_decoders(bool drop_first);

/// Steps in a row and the text that comes out.
class DecoderChain {
 public:
  explicit DecoderChain(const std::vector<DecoderPtr>& decoders);
  DecoderChain(DecoderChain&&) noexcept;
  DecoderChain& operator=(DecoderChain&&) noexcept;
  ~DecoderChain();
  void token(std::string_view text);
  void finish();
  /// What came out since the last call.
  std::string taken();

 private:
  class Output;
  std::vector<std::unique_ptr<DecodeStage>> stages_;
  std::unique_ptr<Output> output_;
};

}  // namespace gw::inline text
