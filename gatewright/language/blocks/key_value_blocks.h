#pragma once
// Memory of keys and values in blocks of a fixed number of tokens, which texts take, share and give back.
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <tuple>
#include <vector>

namespace gw::inline language {

/// Of one layer and `tokens` neighbours of a text: key [heads, tokens, width] and value likewise.
struct KeyValueBlock {
  at::Tensor key, value;
  int64_t bytes() const { return static_cast<int64_t>(key.nbytes() + value.nbytes()); }
};

/// Blocks in use are counted by who looks at them; the last one to go gives a block back, and the next text
/// takes it again. Its memory is asked for once. For one thread at a time, and held by shared pointers alone.
/// Source: Kwon et al. 2023, arXiv 2309.06180, section 4.
class BlockPool : public std::enable_shared_from_this<BlockPool> {
 public:
  /// `tokens` of a block; `most` blocks in use at once, 0: as memory lasts. Errors: ValueError for less than
  /// one token and negative numbers.
  static std::shared_ptr<BlockPool> make(int64_t tokens, int64_t most = 0);
  /// A block for key and value like these ([n, heads, width] each), with whatever was in it.
  /// Errors: ValueError where `most` blocks are in use; the text is then to be truncated to what it was.
  std::shared_ptr<KeyValueBlock> take(const at::Tensor& key, const at::Tensor& value);
  int64_t tokens() const { return tokens_; }
  int64_t used() const { return used_; }    ///< blocks
  int64_t idle() const;                     ///< blocks that were given back
  int64_t bytes() const { return bytes_; }  ///< of all of them

 private:
  using Form = std::tuple<int64_t, int64_t, int64_t, at::ScalarType>;  // heads, widths, type
  BlockPool(int64_t tokens, int64_t most) : tokens_(tokens), most_(most) {}
  void give_back(const Form& form, KeyValueBlock block);

  int64_t tokens_, most_, used_ = 0, bytes_ = 0;
  std::map<Form, std::vector<KeyValueBlock>> idle_;
};

}  // namespace gw::inline language
