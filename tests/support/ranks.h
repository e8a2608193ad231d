#pragma once
// Ranks as threads of one process: each brings its part, and all leave with the sum.
#include <ATen/ATen.h>

#include <barrier>
#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "gatewright/routing/rank_sum.h"

namespace gw::test {

class ThreadRanks {
 public:
  explicit ThreadRanks(size_t count)
      : parts_(count), numbers_(count), meet_(static_cast<std::ptrdiff_t>(count)) {}

  /// Runs `work(rank, sum)` on every rank at once; the first exception of a rank is thrown again.
  void run(const std::function<void(size_t, std::shared_ptr<const RankSum>)>& work) {
    std::vector<std::exception_ptr> errors(parts_.size());
    std::vector<std::thread> threads;
    for (size_t rank = 0; rank < parts_.size(); ++rank) {
      threads.emplace_back([&, rank] {
        try {
          work(rank, std::make_shared<Sum>(*this, rank));
        } catch (...) {
          errors[rank] = std::current_exception();
        }
        meet_.arrive_and_drop();  // the others must not wait for a rank that is done or lost
      });
    }
    for (auto& thread : threads) thread.join();
    for (const auto& error : errors) {
      if (error) std::rethrow_exception(error);
    }
  }

 private:
  class Sum : public RankSum {
   public:
    Sum(ThreadRanks& all, size_t rank) : all_(all), rank_(rank) {}
    at::Tensor sum(const at::Tensor& local) const override {
      all_.parts_[rank_] = local;
      all_.meet_.arrive_and_wait();
      auto total = all_.parts_[0].clone();
      for (size_t other = 1; other < all_.parts_.size(); ++other)
        total += all_.parts_[other];  // in one order: the same bits everywhere
      all_.meet_.arrive_and_wait();
      return total;
    }
    int64_t largest(int64_t local) const override {
      all_.numbers_[rank_] = local;
      all_.meet_.arrive_and_wait();
      const int64_t most = *std::max_element(all_.numbers_.begin(), all_.numbers_.end());
      all_.meet_.arrive_and_wait();
      return most;
    }

   private:
    ThreadRanks& all_;
    size_t rank_;
  };

  std::vector<at::Tensor> parts_;
  std::vector<int64_t> numbers_;
  std::barrier<> meet_;
};

}  // namespace gw::test
