#pragma once
// What turns a piece of text into ids.
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "gatewright/text/vocabulary.h"

namespace gw::inline text {

/// Byte-pair merges, a unigram search or the longest known words. Immutable: threads may share one.
class TokenModel {
 public:
  explicit TokenModel(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  TokenModel(const TokenModel&) = delete;
  TokenModel& operator=(const TokenModel&) = delete;
  virtual ~TokenModel() = default;

  /// Appends the ids of `piece`, UTF-8 and not empty. Errors: ValueError where the vocabulary has no answer.
  virtual void encode(std::string_view piece, std::vector<int32_t>& ids) const = 0;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  Vocabulary vocabulary_;
};

using TokenModelPtr = std::shared_ptr<const TokenModel>;

class Field;
/// The model of a tokenizer.json. Errors: ValueError with the place, and for a type that is not known.
TokenModelPtr make_token_model(const Field& field);
/// The ids of "<0x00>" to "<0xFF>", -1 where there is none.
std::vector<int32_t> byte_tokens(const Vocabulary& vocabulary);

}  // namespace gw::inline text
