// The CUDA levels' bodies and launch logic without CUDA: the same text, run by an emulator.
#include <gtest/gtest.h>

#include "gatewright/kernels/moe_ffn/cuda_driver.h"
#include "gatewright/kernels/plan/cuda_body.h"
#include "gatewright/kernels/top_k/cuda_body.h"
#include "tests/support/cuda_cases.h"
#include "tests/support/cuda_emulator.h"
#include "tests/support/cuda_ffn_cases.h"
#include "tests/support/cuda_product_cases.h"

namespace {

using namespace gw::test;

/// Every case in three orders of threads and blocks, and nothing is left allocated.
struct Emulated : testing::TestWithParam<Order> {
  EmulatedDevice device;
  void SetUp() override { device.order = GetParam(); }
  void TearDown() override { EXPECT_EQ(device.held(), 0); }
};

TEST_P(Emulated, TopKAgreesWithTheReference) { top_k_agrees_with_the_reference(device); }
TEST_P(Emulated, TopKNamesTheRowWithNan) { top_k_names_the_row_with_nan(device); }
TEST_P(Emulated, TopKTakesTheLowestOfMasked) { top_k_takes_the_lowest_of_masked(device); }
TEST_P(Emulated, TopKSplits) { top_k_splits(device); }
TEST_P(Emulated, PlanEqualsTheReference) { plan_equals_the_reference(device); }
TEST_P(Emulated, PlanFindsFaults) { plan_finds_faults(device); }
TEST_P(Emulated, ProductsAgreeWithLoops) {
  products_agree_with_loops<float>(device), products_agree_with_loops<Bf16>(device);
}

std::string order_of(const testing::TestParamInfo<Order>& order) {
  return order.param == Order::rising ? "rising" : order.param == Order::falling ? "falling" : "odd_first";
}
INSTANTIATE_TEST_SUITE_P(Cuda, Emulated, testing::Values(Order::rising, Order::falling, Order::odd_first),
                         order_of);

/// The feed-forward cases take seconds: two of the six ways by default, all of them with the slow tests.
struct EmulatedFfn : testing::TestWithParam<std::pair<Order, bool>> {
  EmulatedDevice device;
  const bool half = GetParam().second;
  void SetUp() override { device.order = GetParam().first; }
  void TearDown() override { EXPECT_EQ(device.held(), 0); }
};

TEST_P(EmulatedFfn, AgreesWithDoublePrecision) {
  half ? ffn_agrees_with_double_precision<Bf16>(device) : ffn_agrees_with_double_precision<float>(device);
}
TEST_P(EmulatedFfn, KnowsEveryActivation) {
  half ? ffn_knows_every_activation<Bf16>(device) : ffn_knows_every_activation<float>(device);
}
TEST_P(EmulatedFfn, SplitsAndPermutes) {
  half ? ffn_splits_and_permutes<Bf16>(device) : ffn_splits_and_permutes<float>(device);
}
TEST_P(EmulatedFfn, TakesAnyRows) {
  half ? ffn_takes_any_rows<Bf16>(device) : ffn_takes_any_rows<float>(device);
}
TEST_P(EmulatedFfn, KeepsNanToItsToken) {
  half ? ffn_keeps_nan_to_its_token<Bf16>(device) : ffn_keeps_nan_to_its_token<float>(device);
}
TEST_P(EmulatedFfn, HasTheBitsOfTheReference) {
  if (half) GTEST_SKIP() << "the tensor cores' sums have an order of their own";
  ffn_has_the_bits_of_the_reference(device);
}

std::string way_of(const testing::TestParamInfo<std::pair<Order, bool>>& way) {
  const char* names[] = {"rising", "falling", "odd_first"};
  return std::string(names[static_cast<size_t>(way.param.first)]) + (way.param.second ? "_bf16" : "_f32");
}
using Ways = std::vector<std::pair<Order, bool>>;
INSTANTIATE_TEST_SUITE_P(Cuda, EmulatedFfn,
                         testing::ValuesIn(Ways{{Order::rising, false}, {Order::falling, true}}), way_of);
INSTANTIATE_TEST_SUITE_P(
    CudaSlow, EmulatedFfn,
    testing::ValuesIn(Ways{
        {Order::falling, false}, {Order::odd_first, false}, {Order::rising, true}, {Order::odd_first, true}}),
    way_of);

}  // namespace
