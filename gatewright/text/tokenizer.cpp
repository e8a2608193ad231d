#include "gatewright/text/tokenizer.h"

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/piece_cache.h"
#include "gatewright/text/tokenizer_parts.h"

namespace gw::inline text {
namespace {

constexpr size_t kTextLimit_bytes = size_t{256} << 20;  // a unigram search takes 24 times as much

/// One encoding under way.
class Encoding {
 public:
  Encoding(const TokenizerParts& parts, bool special) : parts_(parts), special_(special) {}

  void add(std::string_view text) {
    bool begins = true;
    for (const auto& section : parts_.added.sections(text, false, special_)) {
      if (section.id >= 0) {
        ids.push_back(section.id);
        begins = parts_.added.find(section.id)->special;
      } else {
        add_raw(std::string(text.substr(section.begin, section.end - section.begin)), section.begin == 0,
                begins);
      }
    }
  }

  std::vector<int32_t> ids;

 private:
  void add_raw(std::string text, bool first, bool begins) {
    if (parts_.normalizer != nullptr) parts_.normalizer->apply(text, begins);
    const auto sections = parts_.added.sections(text, true, special_);
    if (sections.size() == 1 && sections[0].id < 0) return add_normal(std::move(text), first);
    for (const auto& section : sections) {
      if (section.id >= 0)
        ids.push_back(section.id);
      else
        add_normal(text.substr(section.begin, section.end - section.begin), first && section.begin == 0);
    }
  }

  void add_normal(std::string text, bool first) {
    const size_t size = text.size();
    CutText cut{std::move(text), {{0, size, first}}};
    if (parts_.pre_tokenizer != nullptr) parts_.pre_tokenizer->cut(cut);
    PieceCache cache(cut.pieces.size());
    for (const auto& piece : cut.pieces) {
      if (piece.end > piece.begin)
        cache.encode(*parts_.model, std::string_view(cut.text).substr(piece.begin, piece.end - piece.begin),
                     ids);
    }
  }

  const TokenizerParts& parts_;
  bool special_;
};

}  // namespace

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special, bool parse_special) const {
  GW_CHECK(text.size() <= kTextLimit_bytes,
           "encode: expected a text of at most {} bytes, got {}; encode it in parts", kTextLimit_bytes,
           text.size());
  const size_t bad = invalid_utf8(text);
  GW_CHECK(bad == std::string_view::npos, "encode: expected UTF-8, got the byte 0x{:02x} at {}",
           static_cast<unsigned char>(text[bad]), bad);
  Encoding encoding(*parts_, parse_special);
  encoding.add(text);
  return parts_->post_processor.applied(std::move(encoding.ids), add_special);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  StreamDecoder stream(*this, skip_special);
  std::string text;
  for (const int32_t id : ids) text += stream.push(id);
  return text += stream.finish();
}

const std::string& Tokenizer::token(int32_t id) const {
  if (const AddedToken* added = parts_->added.find(id)) return added->content;
  GW_CHECK(parts_->model->vocabulary().has(id), "token: expected an id of the vocabulary (below {}), got {}",
           size(), id);
  return parts_->model->vocabulary().token(id);
}

std::optional<int32_t> Tokenizer::id(std::string_view token) const {
  int32_t found = parts_->added.find(token);
  if (found < 0) found = parts_->model->vocabulary().find(token);
  return found < 0 ? std::nullopt : std::optional(found);
}

int64_t Tokenizer::size() const {
  const auto& added = parts_->added.all();
  const int64_t end = added.empty() ? 0 : added.rbegin()->first + 1;
  return std::max<int64_t>(end, parts_->model->vocabulary().end());
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* added = parts_->added.find(id);
  return added != nullptr && added->special;
}

std::vector<int32_t> Tokenizer::special_ids() const {
  std::vector<int32_t> ids;
  for (const auto& [id, token] : parts_->added.all())
    if (token.special) ids.push_back(id);
  return ids;
}

std::optional<int32_t> Tokenizer::bos() const {
  return parts_->bos < 0 ? std::nullopt : std::optional(parts_->bos);
}
std::optional<int32_t> Tokenizer::eos() const {
  return parts_->eos < 0 ? std::nullopt : std::optional(parts_->eos);
}

struct StreamDecoder::State {
  Tokenizer tokenizer;
  bool skip_special;
  DecoderChain chain;
};

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skip_special) {
  const auto& decoders = tokenizer.parts_->decoders;
  state_.reset(new State{tokenizer, skip_special, DecoderChain(decoders)});
}

StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::push(int32_t id) {
  const TokenizerParts& parts = *state_->tokenizer.parts_;
  const AddedToken* added = parts.added.find(id);
  if (added == nullptr && !parts.model->vocabulary().has(id)) return {};
  if (added != nullptr && added->special && state_->skip_special) return {};
  state_->chain.token(added != nullptr ? parts.added.decoded(*added) : parts.model->vocabulary().token(id));
  return state_->chain.taken();
}

std::string StreamDecoder::finish() {
  state_->chain.finish();
  std::string rest = state_->chain.taken();
  state_->chain = DecoderChain(state_->tokenizer.parts_->decoders);
  return rest;
}

}  // namespace gw::inline text
