#include "gatewright/ops/thread_pool.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace gw::ops {
namespace {

constexpr int64_t kHugePage = 2 << 20;
// Free blocks from kLent on are lent back to the system while they wait, once kUnlent bytes are free: lending
// costs a step that wants them at once a tenth of its time (E = 32, D = 1024, H = 512, f32, 8 tokens: 16 → 18
// ms).
constexpr int64_t kLent = int64_t{64} << 20, kUnlent = int64_t{1} << 30;

// A step's gradients are freed and wanted again: E = 64, D = 2048, H = 1024 in f32 has 1.5 GB of them, and
// with 1 GB kept, fresh pages took a third of the step. What is lent back is no loss to others, so a quarter
// of the memory may be kept.
int64_t most_kept() {
  const int64_t pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  return std::max(kUnlent, pages > 0 && size > 0 ? pages / 4 * size : 0);
}

// The system may take the pages when it needs them; until then writing to them again costs no fault.
void lend(void* block, int64_t bytes) {
#if defined(MADV_FREE)
  madvise(block, static_cast<size_t>(bytes), MADV_FREE);  // advice: a refusal keeps the pages
#endif
}

/// Free blocks by size.
class FreeBlocks {
 public:
  void* take(int64_t bytes, int64_t& size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = std::lower_bound(free_.begin(), free_.end(), bytes, smaller);
    if (it == free_.end() || it->first > 2 * bytes + kHugePage) return nullptr;
    void* block = it->second;
    size = it->first;
    kept_ -= size;
    free_.erase(it);
    return block;
  }
  bool lends(int64_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return size >= kLent && kept_ + size > kUnlent;
  }
  bool give(void* block, int64_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (kept_ + size > most_) return false;
    kept_ += size;
    free_.emplace(std::lower_bound(free_.begin(), free_.end(), size, smaller), size, block);
    return true;
  }

 private:
  using Block = std::pair<int64_t, void*>;
  static bool smaller(const Block& block, int64_t bytes) { return block.first < bytes; }

  std::mutex mutex_;
  std::vector<Block> free_;  // by size; a map would ask for memory whenever it is given some
  int64_t kept_ = 0;
  const int64_t most_ = most_kept();
};

// Never destroyed: threads of libtorch may end after static objects.
FreeBlocks& free_blocks() {
  static auto* const only = new FreeBlocks;
  return *only;
}

void* fresh(int64_t& bytes) {
  const int64_t align = bytes >= kHugePage ? kHugePage : 4096;
  bytes = (bytes + align - 1) / align * align;
  void* block = std::aligned_alloc(static_cast<size_t>(align), static_cast<size_t>(bytes));
  if (block == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  if (align == kHugePage)
    madvise(block, static_cast<size_t>(bytes), MADV_HUGEPAGE);  // advice: a refusal costs speed only
#endif
  return block;
}

}  // namespace

TorchPool::TorchPool(int most)
    : workers_(at::in_parallel_region() ? 1 : std::clamp(at::get_num_threads(), 1, most)) {}

void TorchPool::run(int64_t tasks, const std::function<void(int64_t, int)>& task) {
  if (workers_ == 1 || tasks <= 1) {
    for (int64_t i = 0; i < tasks; ++i) task(i, 0);
    return;
  }
  std::atomic<int64_t> next{0};
  at::parallel_for(0, workers_, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      for (int64_t i = next.fetch_add(1); i < tasks; i = next.fetch_add(1)) task(i, static_cast<int>(worker));
    }
  });
}

namespace {

std::pair<void*, int64_t> take_block(int64_t bytes) {
  int64_t size = std::max<int64_t>(bytes, 64);
  void* block = free_blocks().take(size, size);
  if (block == nullptr) block = fresh(size);
  return {block, size};
}

void give_block(void* block, int64_t size) {
  if (free_blocks().lends(size)) lend(block, size);  // before anybody else can take it and write to it
  if (!free_blocks().give(block, size)) std::free(block);
}

}  // namespace

void* Workspace::take(int64_t bytes) {
  if (blocks_.empty()) blocks_.reserve(8);
  blocks_.push_back(take_block(bytes));
  return blocks_.back().first;
}

Workspace::~Workspace() {
  for (const auto& [block, size] : blocks_) give_block(block, size);
}

at::Tensor pooled_empty(at::IntArrayRef shape, const at::TensorOptions& options) {
  int64_t values = 1;
  for (const auto n : shape) values *= n;
  const auto bytes = values * static_cast<int64_t>(options.dtype().itemsize());
  if (bytes < kHugePage) return at::empty(shape, options);  // the system's allocator reuses small blocks well
  const auto [block, size] = take_block(bytes);
  return at::from_blob(
      block, shape, [size = size](void* p) { give_block(p, size); }, options);
}

}  // namespace gw::ops
