#pragma once
// Tokens and their ids.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gw::inline text {

inline constexpr int64_t kTokenLimit = int64_t{1} << 24;  ///< ids are below it
inline constexpr size_t kTokenTextLimit_bytes = 512;      ///< of a token that merges or a search go through

/// Both directions. Ids may have holes; built once, then shared by threads.
class Vocabulary {
 public:
  void reserve(size_t tokens);
  /// False if `id` is taken. A token that has an id already gets the new one.
  /// Errors: ValueError for ids outside 0 … kTokenLimit - 1.
  bool add(std::string token, int64_t id);
  /// -1 if there is no such token.
  int32_t find(std::string_view token) const;
  bool has(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < taken_.size() && taken_[static_cast<size_t>(id)];
  }
  /// The token of an id that has() one.
  const std::string& token(int32_t id) const { return tokens_[static_cast<size_t>(id)]; }
  int32_t end() const { return static_cast<int32_t>(tokens_.size()); }  ///< one above the highest id
  size_t count() const { return count_; }

 private:
  void place(int32_t id);
  void grow();

  std::vector<std::string> tokens_;
  std::vector<bool> taken_;
  std::vector<int32_t> slots_;  ///< hash table of ids, -1 where empty
  size_t count_ = 0;
};

}  // namespace gw::inline text
