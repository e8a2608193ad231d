// Used neurons become unavailable by the published rule, and protection acts on the update.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/neuron_guard.h"
#include "gatewright/train/optimizer.h"

namespace gw::test::neuron_guard_cases {

WatchedNeurons::Layer layer(int64_t neurons, int64_t in) {
  return {ops::normal(Rng(1), {neurons, in}, 0, 1).to(at::kDouble).requires_grad_(true),
          ops::normal(Rng(2), {neurons}, 0, 1).to(at::kDouble).requires_grad_(true)};
}

TEST(NeuronGuard, AvailabilityFollowsTheRule) {
  NeuronGuard guard({layer(3, 2)}, 0.1, 0.5);
  const auto h = at::tensor({1.0, 2.0, 0.0, 3.0, -1.0, 0.0}, at::kDouble).view({2, 3});
  const auto g = at::tensor({0.5, 1.0, 9.0, 1.0, 2.0, 9.0}, at::kDouble).view({2, 3});
  guard.note({h}, {g});
  const double r0 = (0.25 + 9) / 2, r1 = (4.0 + 4) / 2, mean = (r0 + r1 + 0) / 3;
  const auto a = guard.availability()[0];
  EXPECT_NEAR(a[0].item<double>(), 1 - 0.1 * (r0 / mean - 0.5), 1e-6);
  EXPECT_NEAR(a[1].item<double>(), 1 - 0.1 * (r1 / mean - 0.5), 1e-6);
  EXPECT_EQ(a[2].item<double>(), 1.0) << "unused: it would rise above 1 and is clipped";
  for (int i = 0; i < 2000; ++i) guard.note({h}, {g});
  EXPECT_NEAR(guard.taken(), 2.0 / 3, 1e-12);
}

/// Protection is a factor on the update: behind Adam a factor on the gradient would do nothing.
TEST(NeuronGuard, RestrainsTheUpdateOfAnyOptimizer) {
  for (const char* part : {"sgd", "adam"}) {
    const auto one = layer(3, 2);
    NeuronGuard guard({one}, 0.3, 0.0);
    const auto h = at::tensor({1.0, 0.0, 0.5}, at::kDouble).view({1, 3});
    for (int i = 0; i < 3; ++i) guard.note({h}, {at::ones({1, 3}, at::kDouble)});
    Optimizer::Context context;
    context.parameters = {{"weight", one.weight}, {"bias", one.bias}};
    const Json options =
        std::string(part) == "sgd" ? Json{{"momentum", 0.0}, {"weight_decay", 0.0}} : Json::object();
    const auto optimizer = make_part<Optimizer>(part, options, context);
    const auto moved = [&] {
      const auto before = guard.before();
      const at::NoGradGuard no_grad;
      optimizer->step({at::ones({3, 2}, at::kDouble), at::ones({3}, at::kDouble)}, 0.1);
      const auto free = one.weight - before[0];
      guard.restrain(before);
      return (one.weight - before[0]) / free;
    };
    EXPECT_LT((moved() - 1).abs().max().item<double>(), 1e-9) << part << ": nothing is committed yet";
    guard.commit();
    const auto share = moved();
    const auto a = guard.availability()[0].to(at::kDouble);
    EXPECT_LT((share - a.unsqueeze(1)).abs().max().item<double>(), 1e-6) << part;
    EXPECT_LT(a[0].item<double>(), 0.2) << part;
    EXPECT_EQ(a[1].item<double>(), 1.0) << part;
  }
}

}  // namespace gw::test::neuron_guard_cases
