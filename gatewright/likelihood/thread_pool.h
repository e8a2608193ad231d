#pragma once
// Threads that stay at hand between the passes of a run. An OpenMP region per pass costs 4 µs of waking and
// meeting; 1000 rows take 9.
#include <atomic>
#include <cstdint>
#include <functional>

namespace gw::likelihood {

class ThreadPool {
 public:
  /// Calls body() while the other threads of this process's OpenMP team wait for what it hands them through
  /// `run`. Alone where there are none: with one thread, or inside a parallel region. What body() throws
  /// arrives after they have left.
  static void keep(const std::function<void()>& body);

  /// The pool that the calling thread leads; null outside of `keep`, and inside of the tasks of `run`.
  static ThreadPool* current();

  /// Calls task(body, i) for i in [0, count) on whichever thread is free; all have ended when it returns.
  /// Tasks may not throw. Threads that arrive late find an empty queue: run() waits for tasks, not for
  /// threads.
  void run(int64_t count, void (*task)(void* body, int64_t i), void* body);

 private:
  bool take();
  void serve();

  // Written by the leader before `ticket_`, and read by those who drew a task from that ticket.
  void (*task_)(void*, int64_t) = nullptr;
  void* body_ = nullptr;
  int64_t count_ = 0;
  alignas(64) std::atomic<uint64_t> ticket_{0};  // the turn in the high half, tasks left in the low half
  alignas(64) std::atomic<int64_t> ended_{0};
  alignas(64) std::atomic<uint32_t> turn_{0};  // what sleepers wait on
  std::atomic<bool> over_{false};
};

}  // namespace gw::likelihood
