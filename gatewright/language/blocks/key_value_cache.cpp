#include "gatewright/language/blocks/key_value_cache.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace gw::inline language {
namespace {

void append_to(at::Tensor& memory, int64_t length, const at::Tensor& more) {
  const int64_t n = more.size(0), needed = length + n;
  if (!memory.defined() || memory.size(1) < needed) {
    const int64_t room = std::max<int64_t>(needed, memory.defined() ? 2 * memory.size(1) : 64);
    auto larger = at::empty({more.size(1), room, more.size(2)}, more.options());
    if (length > 0) larger.narrow(1, 0, length).copy_(memory.narrow(1, 0, length));
    memory = larger;
  }
  memory.narrow(1, length, n).copy_(more.transpose(0, 1));
}

}  // namespace

void KeyValues::append(const at::Tensor& key, const at::Tensor& value) {
  const at::NoGradGuard no_grad;
  if (pool_ != nullptr) return append_blocks(key.detach(), value.detach());
  append_to(key_, length_, key.detach()), append_to(value_, length_, value.detach());
  length_ += key.size(0);
}

void KeyValues::append_blocks(const at::Tensor& key, const at::Tensor& value) {
  const int64_t n = key.size(0), block = pool_->tokens();
  for (int64_t done = 0; done < n;) {
    const int64_t within = length_ % block, count = std::min(block - within, n - done);
    if (within == 0) {
      blocks_.push_back(pool_->take(key, value));
    } else if (blocks_.back().use_count() > 1) {  // another text has it too, and may go on in another way
      auto own = pool_->take(key, value);
      own->key.narrow(1, 0, within).copy_(blocks_.back()->key.narrow(1, 0, within));
      own->value.narrow(1, 0, within).copy_(blocks_.back()->value.narrow(1, 0, within));
      blocks_.back() = std::move(own);
    }
    blocks_.back()->key.narrow(1, within, count).copy_(key.narrow(0, done, count).transpose(0, 1));
    blocks_.back()->value.narrow(1, within, count).copy_(value.narrow(0, done, count).transpose(0, 1));
    done += count, length_ += count;
  }
}

at::Tensor KeyValues::together(at::Tensor KeyValueBlock::*side) const {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const int64_t left = length_ - static_cast<int64_t>(i) * pool_->tokens();
    parts.push_back(((*blocks_[i]).*side).narrow(1, 0, std::min(left, pool_->tokens())));
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts, 1);
}

at::Tensor KeyValues::key() const {
  return pool_ != nullptr ? together(&KeyValueBlock::key) : key_.narrow(1, 0, length_);
}
at::Tensor KeyValues::value() const {
  return pool_ != nullptr ? together(&KeyValueBlock::value) : value_.narrow(1, 0, length_);
}

void KeyValues::truncate(int64_t length) {
  length_ = std::min(length, length_);
  if (pool_ == nullptr) return;
  const int64_t block = pool_->tokens();
  blocks_.resize(static_cast<size_t>((length_ + block - 1) / block));
}

int64_t KeyValues::bytes() const {
  int64_t sum = 0;
  for (const auto& block : blocks_) sum += block->bytes();
  if (pool_ != nullptr) return sum;
  return key_.defined() ? static_cast<int64_t>(key_.nbytes() + value_.nbytes()) : 0;
}

}  // namespace gw::inline language
