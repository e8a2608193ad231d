#pragma once
// Tokenizers of language models: text to ids and back, equal to Hugging Face's `tokenizers` id by id.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gw::inline text {

struct GgufVocabulary;
struct TokenizerParts;

/// A tokenizer as a file describes it. Copies share their parts; all members are constant and may be called
/// by any number of threads at once.
///
///     const auto tokenizer = gw::Tokenizer::from_file("model/");
///     const auto ids = tokenizer.encode("Hello, world");
///     const auto text = tokenizer.decode(ids);
class Tokenizer {
 public:
  /// tokenizer.json (Hugging Face), tokenizer.model or spiece.model (SentencePiece) or tekken.json (Mistral),
  /// told apart by content, or a folder that holds one of them, looked for in this order. Beside a
  /// tokenizer.json in a folder, bos and eos are taken from tokenizer_config.json, if it is there. A file's
  /// truncation and padding are not applied. Errors: IoError if a file cannot be read; ValueError that names
  /// file, part and place for content that is not as
  ///         expected, for parts that are not known, and for files above 256 MiB.
  static Tokenizer from_file(const std::string& path);
  /// The same for content in memory; `where` is what messages call it.
  static Tokenizer from_bytes(std::string_view content, const std::string& where);
  /// The vocabulary that a GGUF file carries. Errors: ValueError with the part and the place.
  static Tokenizer from_gguf(const GgufVocabulary& vocabulary);
  explicit Tokenizer(std::shared_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}

  /// The ids of a text. With `add_special` also what the model expects around it (beginning, end). Without
  /// `parse_special` special tokens that are written in the text are text like any other: for text from
  /// strangers. Errors: ValueError for text that is not UTF-8 (with the byte) or above 256 MiB, for a pattern
  /// that takes too many
  ///         steps, and where the vocabulary has no answer.
  /// Cost:   linear in the text for the files that are in use; O(n log n) for a single word of n characters.
  std::vector<int32_t> encode(std::string_view text, bool add_special = true,
                              bool parse_special = true) const;

  /// The text of ids, valid UTF-8: bytes that are none become U+FFFD. Special tokens are left out unless
  /// `skip_special` is false. Ids without a token (tables are often padded) are passed over.
  std::string decode(std::span<const int32_t> ids, bool skip_special = true) const;

  /// The token as the vocabulary writes it. Errors: ValueError if `id` has none.
  const std::string& token(int32_t id) const;
  std::optional<int32_t> id(std::string_view token) const;
  /// One above the highest id: the least height of an embedding table.
  int64_t size() const;
  bool is_special(int32_t id) const;
  std::vector<int32_t> special_ids() const;  ///< ascending
  std::optional<int32_t> bos() const;        ///< where the file says which
  std::optional<int32_t> eos() const;

 private:
  friend class StreamDecoder;
  std::shared_ptr<const TokenizerParts> parts_;
};

/// Decodes ids as they come. What push and finish return, one after the other, is what Tokenizer::decode
/// returns for all ids, and every piece is whole UTF-8. Held back are: bytes that do not finish a character;
/// a run of "<0x..>" tokens until it ends, as its last byte decides about all of them.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special = true);
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;
  ~StreamDecoder();

  std::string push(int32_t id);
  /// The rest. Afterwards the next text may begin.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gw::inline text
