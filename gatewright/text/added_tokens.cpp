#include "gatewright/text/added_tokens.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/text/unicode.h"

namespace gw::inline text {
namespace {
constexpr size_t kContentLimit_bytes = 4096;  // looked for at every byte of a text
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer* normalizer) {
  for (auto& token : tokens) {
    if (token.content.empty()) continue;
    GW_CHECK(token.content.size() <= kContentLimit_bytes, "added token {}: expected at most {} bytes, got {}",
             token.id, kContentLimit_bytes, token.content.size());
    ids_[token.content] = token.id;
    tokens_[token.id] = std::move(token);
  }
  for (const auto& [id, token] : tokens_) {
    std::string form = token.content;
    if (token.normalized && normalizer != nullptr) normalizer->apply(form, true);
    if (form.empty()) continue;
    (token.normalized ? normal_ : raw_).insert(form, id);
    if (form != token.content && !token.special) normal_forms_[id] = std::move(form);
  }
}

bool AddedTokens::widen(const AddedToken& token, std::string_view text, size_t from, size_t& begin,
                        size_t& end) {
  if (token.single_word) {
    size_t before = begin, behind = end;
    if (begin > 0 && is_word(previous_code_point(text, before))) return false;
    if (end < text.size() && is_word(next_code_point(text, behind))) return false;
  }
  for (size_t at = begin; token.lstrip && at > from && is_space(previous_code_point(text, at));) begin = at;
  for (size_t at = end; token.rstrip && at < text.size() && is_space(next_code_point(text, at));) end = at;
  begin = std::max(begin, from);
  return true;
}

std::vector<AddedTokens::Section> AddedTokens::sections(std::string_view text, bool normalized,
                                                        bool special) const {
  std::vector<Section> sections;
  const ByteTrie& trie = normalized ? normal_ : raw_;
  size_t done = 0;
  for (size_t at = trie.empty() ? text.size() : 0; at < text.size(); ++at) {
    uint32_t node = ByteTrie::kRoot;
    size_t longest = at;
    int32_t id = -1;
    for (size_t end = at; end < text.size();) {
      node = trie.child(node, static_cast<unsigned char>(text[end++]));
      if (node == ByteTrie::kNone) break;
      if (trie.value(node) >= 0) id = trie.value(node), longest = end;
    }
    if (id < 0) continue;
    const AddedToken& token = tokens_.at(id);
    size_t begin = at, end = longest;
    at = longest - 1;  // what does not count is passed over as a whole
    if ((token.special && !special) || begin < done || !widen(token, text, done, begin, end)) continue;
    if (begin > done) sections.push_back({done, begin, -1});
    sections.push_back({begin, end, id});
    done = end;
  }
  if (done < text.size()) sections.push_back({done, text.size(), -1});
  return sections;
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto at = tokens_.find(id);
  return at == tokens_.end() ? nullptr : &at->second;
}

int32_t AddedTokens::find(std::string_view content) const {
  const auto at = ids_.find(content);
  return at == ids_.end() ? -1 : at->second;
}

const std::string& AddedTokens::decoded(const AddedToken& token) const {
  const auto form = normal_forms_.find(token.id);
  return form == normal_forms_.end() ? token.content : form->second;
}

}  // namespace gw::inline text
