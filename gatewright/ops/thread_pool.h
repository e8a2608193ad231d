#pragma once
// What the kernels of floor 1 borrow from a process that runs libtorch: its threads, and memory that is
// reused from call to call.
#include <ATen/core/Tensor.h>

#include <limits>
#include <memory>
#include <vector>

#include "gatewright/kernels/moe_ffn/moe_ffn.h"

namespace gw::ops {

/// libtorch's threads (at::get_num_threads() of them, at most `most`; the caller alone inside a parallel
/// region). Tasks are handed out one by one.
class TorchPool : public kernels::ThreadPool {
 public:
  explicit TorchPool(int most = std::numeric_limits<int>::max());
  int workers() const override { return workers_; }
  void run(int64_t tasks, const std::function<void(int64_t, int)>& task) override;

 private:
  int workers_;
};

/// How many threads work of so many seconds on one core is worth: waking and waiting cost 8 µs and more, so
/// that what is `brief` is not shared.
inline int worthwhile_workers(double seconds, double brief = 10e-6) {
  return seconds < brief ? 1 : std::numeric_limits<int>::max();
}

/// Memory of one call. Blocks go back to a pool of the process when it ends: fresh pages cost 0.1 to 0.5 ns
/// per byte here, as much as the arithmetic of small layers. The pool keeps at most a quarter of the
/// machine's memory, or 1 GiB if that is more, and large free blocks are marked MADV_FREE: the system may
/// take their pages when it needs them. What exceeds the limit is returned at once.
class Workspace : public kernels::Arena {
 public:
  ~Workspace() override;
  void* take(int64_t bytes) override;

 private:
  std::vector<std::pair<void*, int64_t>> blocks_;
};

/// An uninitialised tensor whose memory comes from the same pool: gradients of stacked weights are hundreds
/// of megabytes every step.
at::Tensor pooled_empty(at::IntArrayRef shape, const at::TensorOptions& options);

}  // namespace gw::ops
