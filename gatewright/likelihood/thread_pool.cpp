#include "gatewright/likelihood/thread_pool.h"

#include <omp.h>

#include <exception>
#include <thread>

namespace gw::likelihood {
namespace {

thread_local ThreadPool* leads = nullptr;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadPool* ThreadPool::current() { return leads; }

// True if there was a task.
bool ThreadPool::take() {
  uint64_t seen = ticket_.load(std::memory_order_acquire);
  while (static_cast<uint32_t>(seen) != 0) {
    if (!ticket_.compare_exchange_weak(seen, seen - 1, std::memory_order_acquire)) continue;
    task_(body_, count_ - static_cast<int64_t>(static_cast<uint32_t>(seen)));
    ended_.fetch_add(1, std::memory_order_release);
    return true;
  }
  return false;
}

void ThreadPool::run(int64_t count, void (*task)(void*, int64_t), void* body) {
  leads = nullptr;  // a task's own loops are its own
  task_ = task, body_ = body, count_ = count;
  ended_.store(0, std::memory_order_relaxed);
  const uint32_t turn = turn_.load(std::memory_order_relaxed) + 1;
  ticket_.store(uint64_t{turn} << 32 | static_cast<uint32_t>(count), std::memory_order_release);
  turn_.store(turn);   // in one order with the number of sleepers, which comes next
  turn_.notify_all();  // no call to the system unless somebody sleeps
  while (take()) {
  }
  // Where cores are shared, the last task may be with a thread that does not run: then give way.
  constexpr int kSpins = 2000;
  for (int spin = 0; ended_.load(std::memory_order_acquire) != count; ++spin)
    spin < kSpins ? pause() : std::this_thread::yield();
  leads = this;
}

void ThreadPool::serve() {
  constexpr int kSpins = 1000;  // 50 µs: between two passes over few rows lie 3
  while (true) {
    const uint32_t turn = turn_.load(std::memory_order_acquire);
    while (take()) {
    }
    for (int spin = 0; spin < kSpins && turn_.load(std::memory_order_acquire) == turn; ++spin) pause();
    if (over_.load(std::memory_order_acquire)) return;
    turn_.wait(turn, std::memory_order_acquire);
  }
}

void ThreadPool::keep(const std::function<void()>& body) {
  if (omp_in_parallel() || omp_get_max_threads() == 1 || leads != nullptr) return body();
  ThreadPool pool;
  std::exception_ptr error;
#pragma omp parallel
  {
    if (omp_get_thread_num() == 0) {
      leads = &pool;
      try {
        body();
      } catch (...) {  // an exception may not leave a parallel region
        error = std::current_exception();
      }
      leads = nullptr;
      pool.over_.store(true, std::memory_order_release);
      pool.turn_.fetch_add(1);
      pool.turn_.notify_all();
    } else {
      pool.serve();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace gw::likelihood
