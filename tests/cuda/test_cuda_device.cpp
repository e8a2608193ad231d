// The cases of tests/kernels/test_cuda_host.cpp on a real device. Exit code 77 where there is none.
#include <gtest/gtest.h>

#include <cstdio>

#include "gatewright/kernels/cuda/device.h"
#include "tests/support/cuda_cases.h"
#include "tests/support/cuda_ffn_cases.h"
#include "tests/support/cuda_product_cases.h"

namespace {

using namespace gw::test;

struct Device : testing::Test {
  cuda::CudaDevice device;
  void TearDown() override { EXPECT_EQ(device.finish(), ""); }
};

TEST_F(Device, TopKAgreesWithTheReference) { top_k_agrees_with_the_reference(device); }
TEST_F(Device, TopKNamesTheRowWithNan) { top_k_names_the_row_with_nan(device); }
TEST_F(Device, TopKTakesTheLowestOfMasked) { top_k_takes_the_lowest_of_masked(device); }
TEST_F(Device, TopKSplits) { top_k_splits(device); }
TEST_F(Device, PlanEqualsTheReference) { plan_equals_the_reference(device); }
TEST_F(Device, PlanFindsFaults) { plan_finds_faults(device); }
TEST_F(Device, ProductsAgreeWithLoops) {
  products_agree_with_loops<float>(device), products_agree_with_loops<Bf16>(device);
}
TEST_F(Device, FfnAgreesWithDoublePrecision) {
  ffn_agrees_with_double_precision<float>(device), ffn_agrees_with_double_precision<Bf16>(device);
}
TEST_F(Device, FfnKnowsEveryActivation) {
  ffn_knows_every_activation<float>(device), ffn_knows_every_activation<Bf16>(device);
}
TEST_F(Device, FfnHasTheBitsOfTheReference) { ffn_has_the_bits_of_the_reference(device); }
TEST_F(Device, FfnSplitsAndPermutes) {
  ffn_splits_and_permutes<float>(device), ffn_splits_and_permutes<Bf16>(device);
}
TEST_F(Device, FfnTakesAnyRows) { ffn_takes_any_rows<float>(device), ffn_takes_any_rows<Bf16>(device); }
TEST_F(Device, FfnKeepsNanToItsToken) {
  ffn_keeps_nan_to_its_token<float>(device), ffn_keeps_nan_to_its_token<Bf16>(device);
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const auto missing = gw::kernels::cuda::CudaDevice().missing();
  if (!missing.empty()) {
    std::printf("skipped: no CUDA device: %s\n", missing.c_str());
    return 77;
  }
  return RUN_ALL_TESTS();
}
