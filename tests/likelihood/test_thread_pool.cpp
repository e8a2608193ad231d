#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "gatewright/likelihood/chunks.h"
#include "gatewright/likelihood/thread_pool.h"

namespace gw::test {
namespace {

using likelihood::ThreadPool;

/// More threads than this machine may have: the pool must not need them to run at once.
class PoolOfFour : public ::testing::Test {
 protected:
  void SetUp() override { before_ = omp_get_max_threads(), omp_set_num_threads(4); }
  void TearDown() override { omp_set_num_threads(before_); }

 private:
  int before_ = 1;
};

TEST_F(PoolOfFour, DoesEveryTaskOfEveryTurnOnce) {
  constexpr int64_t kTurns = 3000, kTasks = 7;
  std::vector<int64_t> done(
      kTasks, 0);  // no atomics: a task that two threads draw, or that outlives its turn, loses counts
  ThreadPool::keep([&] {
    ASSERT_NE(ThreadPool::current(), nullptr);
    for (int64_t turn = 0; turn < kTurns; ++turn) {
      likelihood::parallel_for(turn % kTasks + 1, [&](int64_t i) { ++done[static_cast<size_t>(i)]; });
      const int64_t sum = std::accumulate(done.begin(), done.end(), int64_t{0}), rounds = turn / kTasks,
                    rest = turn % kTasks + 1;
      ASSERT_EQ(sum, rounds * kTasks * (kTasks + 1) / 2 + rest * (rest + 1) / 2) << "after turn " << turn;
    }
  });
  EXPECT_EQ(ThreadPool::current(), nullptr);
}

TEST_F(PoolOfFour, WakesThoseWhoFellAsleep) {
  const auto caller = std::this_thread::get_id();
  std::atomic<bool> others{false};
  ThreadPool::keep([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // they wait 50 µs before they sleep
    // The caller holds its task until another thread has come for one.
    const auto late = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    likelihood::parallel_for(64, [&](int64_t) {
      if (std::this_thread::get_id() != caller) others = true;
      while (!others && std::chrono::steady_clock::now() < late) std::this_thread::yield();
    });
  });
  EXPECT_TRUE(others);
}

TEST_F(PoolOfFour, LoopsInsideTasksRunThere) {
  std::vector<int64_t> sums(8, 0);
  ThreadPool::keep([&] {
    likelihood::parallel_for(8, [&](int64_t i) {
      EXPECT_EQ(ThreadPool::current(), nullptr);
      ThreadPool::keep(
          [&] { likelihood::parallel_for(5, [&](int64_t j) { sums[static_cast<size_t>(i)] += i * j; }); });
    });
  });
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(sums[static_cast<size_t>(i)], 10 * i);
}

TEST_F(PoolOfFour, CarriesExceptionsOut) {
  const auto message = [](const std::function<void()>& call) -> std::string {
    try {
      call();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "none";
  };
  EXPECT_EQ(message([] { ThreadPool::keep([] { throw std::runtime_error("of the leader"); }); }),
            "of the leader");
  int64_t ended = 0;
  EXPECT_EQ(message([&] {
              ThreadPool::keep([&] {
                const auto inner = message([] {
                  likelihood::parallel_for(9, [](int64_t i) {
                    if (i > 2) throw std::runtime_error("task " + std::to_string(i));
                  });
                });
                EXPECT_EQ(inner, "task 3");  // the first by index, and the pool goes on
                likelihood::parallel_for(1, [&](int64_t) { ++ended; });
                throw std::runtime_error(inner);
              });
            }),
            "task 3");
  EXPECT_EQ(ended, 1);
}

}  // namespace
}  // namespace gw::test
