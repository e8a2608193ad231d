#include "gatewright/ops/fingerprint.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace gw::ops {
namespace {

constexpr uint64_t kFirst = 0x9E3779B185EBCA87ULL, kSecond = 0xC2B2AE3D27D4EB4FULL;
constexpr int64_t kBlock = 1 << 16;  // bytes that one thread takes at a time
constexpr int64_t kLanes =
    8;  // independent chains: with 4 a core waits for the multiplications, not for the memory
__extension__ using Wide = unsigned __int128;

uint64_t mixed(uint64_t sum, uint64_t word) { return std::rotl(sum + word * kSecond, 31) * kFirst; }

// Both halves of the product: one multiplication takes in two words.
uint64_t folded(uint64_t a, uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t block_sum(const char* bytes, int64_t count) {
  uint64_t lanes[kLanes], words[2 * kLanes];
  for (int64_t k = 0; k < kLanes; ++k) lanes[k] = kFirst * static_cast<uint64_t>(k + 1);
  constexpr auto kStep = static_cast<int64_t>(sizeof(words));
  const auto take = [&] {
    for (int64_t k = 0; k < kLanes; ++k)
      lanes[k] = folded(words[2 * k] ^ kSecond, words[2 * k + 1] ^ lanes[k]);
  };
  int64_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    std::memcpy(words, bytes + i, sizeof(words));
    take();
  }
  if (i < count) {
    std::memset(words, 0, sizeof(words));
    std::memcpy(words, bytes + i, static_cast<size_t>(count - i));
    take();
  }
  uint64_t sum = static_cast<uint64_t>(count);
  for (const uint64_t lane : lanes) sum = mixed(sum, lane);
  return sum;
}

uint64_t value_sum(const at::Tensor& tensor) {
  const auto dense = tensor.is_non_overlapping_and_dense() ? tensor : tensor.contiguous();
  const auto bytes = static_cast<int64_t>(dense.nbytes()), blocks = (bytes + kBlock - 1) / kBlock;
  const auto* data = static_cast<const char*>(dense.data_ptr());
  std::vector<uint64_t> sums(static_cast<size_t>(blocks));
  at::parallel_for(0, blocks, 4, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      sums[static_cast<size_t>(b)] = block_sum(data + b * kBlock, std::min(kBlock, bytes - b * kBlock));
  });
  uint64_t sum = static_cast<uint64_t>(bytes);
  for (const uint64_t s : sums) sum = mixed(sum, s);
  return sum;
}

}  // namespace

uint64_t fingerprint(const std::vector<at::Tensor>& tensors) {
  const at::NoGradGuard no_grad;
  uint64_t sum = tensors.size();
  for (const auto& tensor : tensors) {
    if (!tensor.defined()) {
      sum = mixed(sum, kFirst);
      continue;
    }
    sum = mixed(sum, static_cast<uint64_t>(tensor.scalar_type()));
    for (const int64_t size : tensor.sizes()) sum = mixed(sum, static_cast<uint64_t>(size));
    for (const int64_t stride : tensor.strides()) sum = mixed(sum, static_cast<uint64_t>(stride));
    sum = mixed(sum, value_sum(tensor));
  }
  return sum;
}

}  // namespace gw::ops
