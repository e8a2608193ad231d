#pragma once
// What a tokenizer is made of. Readers of files fill it in.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gatewright/text/added_tokens.h"
#include "gatewright/text/decoder.h"
#include "gatewright/text/model.h"
#include "gatewright/text/normalizer.h"
#include "gatewright/text/post_processor.h"
#include "gatewright/text/pre_tokenizer.h"

namespace gw::inline text {

struct TokenizerParts {
  NormalizerPtr normalizer;       ///< may be null
  PreTokenizerPtr pre_tokenizer;  ///< may be null
  TokenModelPtr model;
  PostProcessor post_processor;
  std::vector<DecoderPtr> decoders;
  AddedTokens added;
  int32_t bos = -1, eos = -1;
};

class Field;
/// A tokenizer.json of Hugging Face. Errors: ValueError with the place.
std::shared_ptr<TokenizerParts> read_tokenizer_json(const Field& document);
/// A tekken.json of Mistral. Errors: ValueError with the place.
std::shared_ptr<TokenizerParts> read_tekken(const Field& document);
/// A tokenizer.model of SentencePiece. Errors: ValueError with `where`.
std::shared_ptr<TokenizerParts> read_sentence_piece(std::string_view bytes, const std::string& where);

}  // namespace gw::inline text
