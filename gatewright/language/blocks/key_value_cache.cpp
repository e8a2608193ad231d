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
  append_to(key_, length_, key.detach()), append_to(value_, length_, value.detach());
  length_ += key.size(0);
}

int64_t KeyValues::bytes() const {
  return key_.defined() ? static_cast<int64_t>(key_.nbytes() + value_.nbytes()) : 0;
}

}  // namespace gw::inline language
