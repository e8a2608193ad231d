#pragma once
// What the CUDA levels must do, said once: on the emulator in every build (tests/kernels/test_cuda_host.cpp),
// on a GPU where there is one (tests/cuda).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/kernels/plan/cuda.h"
#include "gatewright/kernels/top_k/cuda.h"

namespace gw::test {

/// An array on a device, filled from the host.
template <class T, class Device>
class Array {
 public:
  Array(Device& device, size_t count)
      : device_(device),
        count_(count),
        place_(static_cast<T*>(count == 0 ? nullptr : device.allocate(bytes()))) {}
  Array(Device& device, const std::vector<T>& from) : Array(device, from.size()) {
    if (count_ > 0) device_.copy(place_, from.data(), bytes());
  }
  ~Array() { device_.release(place_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() const { return place_; }
  std::vector<T> host() const {
    std::vector<T> out(count_);
    EXPECT_EQ(device_.finish(), "");
    if (count_ > 0) device_.copy(out.data(), place_, bytes());
    return out;
  }

 private:
  int64_t bytes() const { return static_cast<int64_t>(count_ * sizeof(T)); }
  Device& device_;
  size_t count_;
  T* place_;
};

struct TopKAnswer {
  std::vector<int64_t> expert;
  std::vector<float> weight;
  int64_t fault;
};

template <class Device>
TopKAnswer run_top_k(Device& device, const std::vector<float>& scores, int64_t rows, int64_t experts,
                     int64_t k, kernels::Score f, bool renormalise) {
  const auto n = static_cast<size_t>(rows * k);
  const Array<float, Device> in(device, scores), weight(device, n);
  const Array<int64_t, Device> expert(device, n), fault(device, 1);
  kernels::cuda::top_k(device, in.data(), rows, experts, k, f, renormalise, expert.data(), weight.data(),
                       fault.data());
  return {expert.host(), weight.host(), fault.host()[0]};
}

/// Multiples of 1/7 with `distinct` different values: few of them tie often.
inline std::vector<float> tied_scores(int64_t count, int64_t distinct) {
  std::vector<float> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<float>(std::floor(Rng(3).uniform(i) * static_cast<double>(distinct))) / 7 - 3;
  return out;
}

template <class Device>
void top_k_agrees_with_the_reference(Device& device) {
  using kernels::Score;
  for (const int64_t experts : {1, 2, 31, 32, 33, 64, 100, 1030}) {
    for (const int64_t k : {int64_t{1}, int64_t{2}, std::min<int64_t>(experts, 8), experts}) {
      if (k > experts || (experts > 100 && k > 8)) continue;
      for (const auto f : {Score::identity, Score::softmax, Score::sigmoid}) {
        SCOPED_TRACE(testing::Message()
                     << experts << " experts, k " << k << ", function " << static_cast<int>(f));
        const int64_t rows = 9;
        auto s = tied_scores(rows * experts, experts == 64 ? 5 : 100000);
        if (experts > 1) s[1] = -std::numeric_limits<float>::infinity();
        const bool renormalise = f != Score::identity;
        const auto got = run_top_k(device, s, rows, experts, k, f, renormalise);
        std::vector<int64_t> expert(got.expert.size());
        std::vector<float> weight(expert.size());
        ASSERT_EQ(
            kernels::top_k_ref.run(s.data(), rows, experts, k, f, renormalise, expert.data(), weight.data()),
            -1);
        EXPECT_EQ(got.fault, kernels::cuda::kNoFault);
        ASSERT_EQ(got.expert, expert);
        for (size_t i = 0; i < weight.size(); ++i) {
          if (got.weight[i] == weight[i]) continue;  // equal infinities have no difference
          ASSERT_NEAR(got.weight[i], weight[i], 2e-6 * (1 + std::abs(weight[i]))) << i;
        }
      }
    }
  }
}

/// The first row with a NaN is named; rows beside it are as ever, which the reference, which stops there,
/// does not promise.
template <class Device>
void top_k_names_the_row_with_nan(Device& device) {
  auto s = tied_scores(5 * 20, 1000);
  const auto whole = run_top_k(device, s, 5, 20, 2, kernels::Score::softmax, true);
  s[3 * 20 + 19] = s[4 * 20] = std::nanf("");
  const auto got = run_top_k(device, s, 5, 20, 2, kernels::Score::softmax, true);
  EXPECT_EQ(got.fault, 3);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(got.expert[i], i < 6 ? whole.expert[i] : -1);
    EXPECT_TRUE(i < 6 ? got.weight[i] == whole.weight[i] : std::isnan(got.weight[i])) << i;
  }
  EXPECT_EQ(run_top_k(device, {}, 0, 20, 2, kernels::Score::softmax, true).fault, kernels::cuda::kNoFault);
}

template <class Device>
void top_k_takes_the_lowest_of_masked(Device& device) {
  const std::vector<float> s(6, -std::numeric_limits<float>::infinity());
  EXPECT_EQ(run_top_k(device, s, 1, 6, 3, kernels::Score::identity, false).expert,
            (std::vector<int64_t>{0, 1, 2}));
  for (const bool renormalise : {false, true}) {
    EXPECT_EQ(run_top_k(device, s, 1, 6, 3, kernels::Score::softmax, renormalise).weight,
              (std::vector<float>{0, 0, 0}));
  }
}

/// Any split of the rows into calls gives the same bits.
template <class Device>
void top_k_splits(Device& device) {
  const auto s = tied_scores(11 * 70, 1000);
  const auto whole = run_top_k(device, s, 11, 70, 4, kernels::Score::softmax, true);
  const auto part = run_top_k(device, std::vector<float>(s.begin() + 6 * 70, s.end()), 5, 70, 4,
                              kernels::Score::softmax, true);
  EXPECT_TRUE(std::equal(part.weight.begin(), part.weight.end(), whole.weight.begin() + 6 * 4));
  EXPECT_TRUE(std::equal(part.expert.begin(), part.expert.end(), whole.expert.begin() + 6 * 4));
}

struct Sorted {
  std::vector<int64_t> offsets, slots;
  kernels::PlanFault fault;
};

template <class Device>
Sorted run_sort(Device& device, const std::vector<int64_t>& ids, int64_t k, int64_t experts) {
  const Array<int64_t, Device> in(device, ids), offsets(device, static_cast<size_t>(experts + 1)),
      slots(device, ids.size()), fault(device, 1);
  kernels::cuda::sort_slots(device, in.data(), static_cast<int64_t>(ids.size()) / k, k, experts,
                            offsets.data(), slots.data(), fault.data());
  Sorted out{offsets.host(), slots.host(), kernels::cuda::fault_of(fault.host()[0])};
  if (out.fault.slot < 0) out.slots.resize(static_cast<size_t>(out.offsets.back()));
  return out;
}

template <class Device>
void plan_equals_the_reference(Device& device) {
  for (const int64_t tokens : {0, 1, 341, 342, 5000}) {
    for (const int64_t experts : {37, 300}) {
      const int64_t k = 3;
      std::vector<int64_t> ids(static_cast<size_t>(tokens * k)), offsets(static_cast<size_t>(experts + 1)),
          slots(ids.size());
      for (size_t i = 0; i < ids.size(); ++i) {
        ids[i] = static_cast<int64_t>(Rng(1).uniform(i / 3) * static_cast<double>(experts / 3)) * 3 +
                 static_cast<int64_t>(i % 3);  // distinct within a token
        if (Rng(2).uniform(i) < 0.1) ids[i] = -1;
      }
      ASSERT_EQ(kernels::sort_slots_ref(ids.data(), tokens, k, experts, offsets.data(), slots.data()).slot,
                -1);
      slots.resize(static_cast<size_t>(offsets.back()));
      const auto got = run_sort(device, ids, k, experts);
      EXPECT_EQ(got.fault.slot, -1);
      EXPECT_EQ(got.offsets, offsets);
      EXPECT_EQ(got.slots, slots);
    }
  }
}

template <class Device>
void plan_finds_faults(Device& device) {
  std::vector<int64_t> ids(20000, -1);
  ids[15001] = 4;
  EXPECT_EQ(run_sort(device, ids, 2, 4).fault.slot, 15001);
  ids[15001] = 2, ids[15000] = 2;
  const auto fault = run_sort(device, ids, 2, 4).fault;
  EXPECT_EQ(fault.slot, 15001);
  EXPECT_TRUE(fault.twice);
  ids[7] = -2;
  EXPECT_EQ(run_sort(device, ids, 2, 4).fault.slot, 7);
  EXPECT_FALSE(run_sort(device, ids, 2, 4).fault.twice);
}

}  // namespace gw::test
