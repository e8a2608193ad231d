#pragma once
// What a layer of attention remembers of a text.
#include <ATen/core/Tensor.h>

#include <vector>

#include "gatewright/language/blocks/key_value_blocks.h"

namespace gw::inline language {

/// Keys and values of one layer and one sequence, [heads, length, width]: in one piece of memory that doubles
/// when it is full, appending n tokens costs O(n) on average; or in blocks of a pool, which grow without
/// copying and are read by bringing them together, O(length) a pass. Copies of those in blocks share them:
/// what one appends the others do not see. Copies of one piece must not both go on.
class KeyValues {
 public:
  /// In one piece.
  KeyValues() = default;
  /// In blocks; null: in one piece.
  explicit KeyValues(std::shared_ptr<BlockPool> pool) : pool_(std::move(pool)) {}
  /// key, value [n, heads, width]: appended to what is there. Without gradients. Errors: as
  /// BlockPool::take().
  void append(const at::Tensor& key, const at::Tensor& value);
  at::Tensor key() const;
  at::Tensor value() const;
  int64_t length() const { return length_; }
  /// Forgets all but the first `length` tokens; blocks without any go back to the pool.
  void truncate(int64_t length);
  /// Of memory that is held, other texts' part in shared blocks included.
  int64_t bytes() const;

 private:
  void append_blocks(const at::Tensor& key, const at::Tensor& value);
  at::Tensor together(at::Tensor KeyValueBlock::*side) const;

  at::Tensor key_, value_;  ///< in one piece
  std::shared_ptr<BlockPool> pool_;
  std::vector<std::shared_ptr<KeyValueBlock>>
      blocks_;  ///< the table: block i holds tokens i·n … (i + 1)·n − 1
  int64_t length_ = 0;
};

/// A text under way: its layers' keys and values. Empty at first; the model fills it.
struct DecoderState {
  std::vector<KeyValues> layers;
  std::shared_ptr<BlockPool> pool = {};  ///< whose blocks the layers take; null: one piece for each
  int64_t length() const { return layers.empty() ? 0 : layers.front().length(); }
  /// Memory for so many layers; those that are there stay.
  void open(size_t count) {
    while (layers.size() < count) layers.emplace_back(pool);
  }
  void truncate(int64_t length) {
    for (auto& layer : layers) layer.truncate(length);
  }
};

}  // namespace gw::inline language
