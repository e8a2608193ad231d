#pragma once
// What a layer of attention remembers of a text.
#include <ATen/core/Tensor.h>

#include <vector>

namespace gw::inline language {

/// Keys and values of one layer and one sequence, [heads, length, width] in memory that doubles when it is
/// full: appending n tokens costs O(n) on average.
class KeyValues {
 public:
  /// key, value [n, heads, width]: appended to what is there. Without gradients.
  void append(const at::Tensor& key, const at::Tensor& value);
  at::Tensor key() const { return key_.narrow(1, 0, length_); }
  at::Tensor value() const { return value_.narrow(1, 0, length_); }
  int64_t length() const { return length_; }
  /// Forgets all but the first `length` tokens.
  void truncate(int64_t length) { length_ = std::min(length, length_); }
  int64_t bytes() const;

 private:
  at::Tensor key_, value_;
  int64_t length_ = 0;
};

/// A text under way: its layers' keys and values. Empty at first; the model fills it.
struct DecoderState {
  std::vector<KeyValues> layers;
  int64_t length() const { return layers.empty() ? 0 : layers.front().length(); }
  void truncate(int64_t length) {
    for (auto& layer : layers) layer.truncate(length);
  }
};

}  // namespace gw::inline language
