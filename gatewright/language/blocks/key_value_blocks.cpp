#include "gatewright/language/blocks/key_value_blocks.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"

namespace gw::inline language {

std::shared_ptr<BlockPool> BlockPool::make(int64_t tokens, int64_t most) {
  GW_CHECK(tokens >= 1 && tokens <= 1 << 20 && most >= 0,
           "keys and values: expected blocks of 1 to {} tokens and a number of them >= 0, got {} and {}",
           1 << 20, tokens, most);
  return std::shared_ptr<BlockPool>(new BlockPool(tokens, most));
}

std::shared_ptr<KeyValueBlock> BlockPool::take(const at::Tensor& key, const at::Tensor& value) {
  GW_CHECK(
      most_ == 0 || used_ < most_,
      "keys and values: expected room for a block of {} tokens, got all {} blocks in use; end a text, or "
      "allow more blocks",
      tokens_, most_);
  const Form form{key.size(1), key.size(2), value.size(2), key.scalar_type()};
  auto& idle = idle_[form];
  auto block = std::make_unique<KeyValueBlock>();
  if (idle.empty()) {
    block->key = at::empty({key.size(1), tokens_, key.size(2)}, key.options().requires_grad(false));
    block->value = at::empty({value.size(1), tokens_, value.size(2)}, value.options().requires_grad(false));
    bytes_ += block->bytes();
  } else {
    *block = std::move(idle.back());
    idle.pop_back();
  }
  ++used_;
  const auto pool = shared_from_this();  // outlives its blocks
  return {block.release(), [pool, form](KeyValueBlock* own) {
            pool->give_back(form, std::move(*own));
            delete own;
          }};
}

void BlockPool::give_back(const Form& form, KeyValueBlock block) {
  --used_;
  idle_[form].push_back(std::move(block));
}

int64_t BlockPool::idle() const {
  int64_t sum = 0;
  for (const auto& item : idle_) sum += static_cast<int64_t>(item.second.size());
  return sum;
}

}  // namespace gw::inline language
