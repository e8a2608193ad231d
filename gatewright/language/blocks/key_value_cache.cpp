#include "gatewright/language/blocks/key_value_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

namespace gw::inline language {
namespace {

/// Tokens of more [n, heads, width] into memory [heads, room, width]. A token at a time: for the one that a
/// text goes on with, views and copy_ take 5 µs.
void copy_rows(const at::Tensor& memory, int64_t at, const at::Tensor& more, int64_t first, int64_t count) {
  const int64_t width = more.size(2);
  if (more.scalar_type() != memory.scalar_type() || (more.stride(2) != 1 && width > 1)) {
    memory.narrow(1, at, count).copy_(more.narrow(0, first, count).transpose(0, 1));
    return;
  }
  const auto bytes = static_cast<int64_t>(more.element_size());
  auto* to = static_cast<char*>(memory.data_ptr()) + at * memory.stride(1) * bytes;
  const auto* from = static_cast<const char*>(more.data_ptr()) + first * more.stride(0) * bytes;
  for (int64_t head = 0; head < more.size(1); ++head) {
    char* own = to + head * memory.stride(0) * bytes;
    for (int64_t i = 0; i < count; ++i)
      std::memcpy(own + i * memory.stride(1) * bytes,
                  from + (i * more.stride(0) + head * more.stride(1)) * bytes,
                  static_cast<size_t>(width * bytes));
  }
}

void append_to(at::Tensor& memory, int64_t length, const at::Tensor& more) {
  const int64_t n = more.size(0), needed = length + n;
  if (!memory.defined() || memory.size(1) < needed) {
    const int64_t room = std::max<int64_t>(needed, memory.defined() ? 2 * memory.size(1) : 64);
    auto larger = at::empty({more.size(1), room, more.size(2)}, more.options().requires_grad(false));
    if (length > 0) larger.narrow(1, 0, length).copy_(memory.narrow(1, 0, length));
    memory = larger;
  }
  copy_rows(memory, length, more, 0, n);
}

}  // namespace

void KeyValues::append(const at::Tensor& key, const at::Tensor& value) {
  const at::NoGradGuard no_grad;
  if (pool_ != nullptr) return append_blocks(key, value);
  append_to(key_, length_, key), append_to(value_, length_, value);
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
    copy_rows(blocks_.back()->key, within, key, done, count);
    copy_rows(blocks_.back()->value, within, value, done, count);
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
