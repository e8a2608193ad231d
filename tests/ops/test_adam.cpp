#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "gatewright/ops/adam.h"
#include "gatewright/ops/random.h"

namespace gw::test::adam_cases {
namespace {

struct Moved {
  at::Tensor value, first, second;
};

Moved moved(at::ScalarType type, bool turned, int64_t steps) {
  const auto drawn = [&](uint64_t seed) {
    const auto t = ops::normal(Rng(seed), {300, 200}, 0, 1).to(type);
    return turned ? t.t().contiguous().t() : t;  // the same values, but not as they lie
  };
  Moved m{drawn(1), at::zeros_like(drawn(2)), at::zeros_like(drawn(3))};
  for (int64_t step = 1; step <= steps; ++step)
    ops::adam_step({}, 1e-2, step, drawn(static_cast<uint64_t>(10 + step)), m.value, m.first, m.second);
  return m;
}

void expect_close(const at::Tensor& a, const at::Tensor& b) {
  const double off = (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
  EXPECT_LT(off, 2e-6);
}

TEST(Adam, OnePassIsWhatSingleOperationsAre) {
  const auto once = moved(at::kFloat, false, 3), single = moved(at::kFloat, true, 3),
             exact = moved(at::kDouble, false, 3);
  expect_close(once.value, single.value), expect_close(once.value, exact.value);
  expect_close(once.first, exact.first), expect_close(once.second, exact.second);
}

TEST(Adam, OnePassChangesTheVersionAsOperationsDo) {
  auto value = at::zeros({64}), first = at::zeros({64}), second = at::zeros({64});
  const auto before = value._version();
  ops::adam_step({}, 1e-2, 1, at::ones({64}), value, first, second);
  EXPECT_GT(value._version(), before) << "packed weights would be taken for those of these values";
}

TEST(Adam, BitsDoNotDependOnTheThreads) {
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = moved(at::kFloat, false, 2);
  at::set_num_threads(3);
  const auto three = moved(at::kFloat, false, 2);
  at::set_num_threads(before);
  EXPECT_TRUE(one.value.equal(three.value) && one.second.equal(three.second));
}

}  // namespace
}  // namespace gw::test::adam_cases
