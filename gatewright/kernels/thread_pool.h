#pragma once
#include <cstdint>
#include <functional>

namespace gw::kernels {

/// Who runs a phase: tasks 0 … tasks - 1 in any order on any worker, all done when run() returns. One run is
/// one barrier.
/// Results never depend on which worker took a task; `worker` (0 … workers() - 1) chooses scratch memory
/// only.
class ThreadPool {
 public:
  virtual ~ThreadPool() = default;
  virtual int workers() const = 0;
  virtual void run(int64_t tasks, const std::function<void(int64_t task, int worker)>& task) = 0;
};

/// The caller alone.
class SerialPool : public ThreadPool {
 public:
  int workers() const override { return 1; }
  void run(int64_t tasks, const std::function<void(int64_t, int)>& task) override {
    for (int64_t i = 0; i < tasks; ++i) task(i, 0);
  }
};

}  // namespace gw::kernels
