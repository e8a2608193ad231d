// Packed panels follow the weights however they are written.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/ops/random.h"
#include "tests/support/weight_writers.h"

namespace gw::test::packed_weights_cases {

std::shared_ptr<gw::Mixture> layer() {
  return gw::Mixture::from_json({{"in", 16},
                                 {"experts", 4},
                                 {"policy", {{"part", "softmax_top_k"}, {"k", 2}}},
                                 {"bank", {{"part", "mlp"}, {"hidden", 8}, {"packed", true}}}});
}

at::Tensor served(gw::Mixture& layer, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  const gw::ops::FrozenParameters constant;
  return layer.forward(x).y;
}

TEST(PackedWeights, FollowEveryWriter) {
  const auto x = gw::ops::normal(gw::Rng(1), {32, 16}, 0, 1);
  for (const auto& writer : gw::test::weight_writers()) {
    const auto made = layer();
    made->eval();
    const auto old = served(*made, x);
    EXPECT_TRUE(old.equal(made->forward(x).y.detach())) << "panels have the same bits";
    writer.write(made->bank());
    EXPECT_FALSE(old.equal(made->forward(x).y.detach()))
        << writer.name << " changed nothing: this test would prove nothing";
    EXPECT_TRUE(served(*made, x).equal(made->forward(x).y.detach())) << writer.name;
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(made->forward(x).y.equal(served(*made, x))) << writer.name << ", outside of a scope";
  }
}

TEST(PackedWeights, FollowAnotherType) {
  const auto made = layer();
  made->eval();
  const auto x = gw::ops::normal(gw::Rng(1), {32, 16}, 0, 1);
  served(*made, x);
  made->to(at::kDouble);
  EXPECT_TRUE(served(*made, x.to(at::kDouble)).equal(made->forward(x.to(at::kDouble)).y.detach()));
}

// A write that the scope excludes and that leaves no trace: the old panels answer, which shows that they are
// used.
TEST(PackedWeights, ServeInsideAScope) {
  const auto made = layer();
  made->eval();
  const auto x = gw::ops::normal(gw::Rng(1), {32, 16}, 0, 1);
  const at::NoGradGuard no_grad;
  const gw::ops::FrozenParameters constant;
  const auto old = made->forward(x).y;
  gw::test::scale_through_data(made->bank(), 2);
  EXPECT_TRUE(made->forward(x).y.equal(old));
}

TEST(PackedWeights, ServeInInferenceMode) {
  const c10::InferenceMode guard;
  const gw::ops::FrozenParameters constant;
  const auto made = layer();
  made->eval();
  EXPECT_TRUE(at::isfinite(made->forward(gw::ops::normal(gw::Rng(1), {8, 16}, 0, 1)).y).all().item<bool>());
}

}  // namespace gw::test::packed_weights_cases
