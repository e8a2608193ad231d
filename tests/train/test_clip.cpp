// Limits of the gradients' norms: the formula, the two parts apart, and that a run and its optimizers keep
// them.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/squared_norm.h"
#include "tests/train/small_run.h"

namespace gw::test::clip_cases {

using gw::clipped;
using gw::Json;
using gw::Trainer;

gw::ClipOptions limits(double router, double experts) {
  gw::ClipOptions options;
  options.router = router, options.experts = experts;
  return options;
}

double norm(const std::vector<at::Tensor>& tensors) {
  double squares = 0;
  for (const auto& tensor : tensors) squares += gw::ops::squared_norm(tensor);
  return std::sqrt(squares);
}

// Router: (3, 4) and (12), norm 13; experts: (6, 8), norm 10; one that no loss reached.
const std::vector<bool> kOfRouter = {true, false, true, false};
std::vector<at::Tensor> gradients() {
  return {at::tensor({3.0, 4.0}), at::tensor({6.0, 8.0}), at::tensor({12.0}), at::Tensor()};
}

TEST(Clip, ScalesEachPartToItsOwnLimit) {
  const auto g = gradients(), out = clipped(g, kOfRouter, limits(1.3, 5));
  EXPECT_TRUE(at::allclose(out[0], at::tensor({0.3, 0.4}), 1e-14)) << out[0];
  EXPECT_TRUE(at::allclose(out[2], at::tensor({1.2}), 1e-14)) << out[2];
  EXPECT_TRUE(at::allclose(out[1], at::tensor({3.0, 4.0}), 1e-14)) << out[1];
  EXPECT_FALSE(out[3].defined());
  EXPECT_TRUE(at::equal(g[0], at::tensor({3.0, 4.0}))) << "what was given is the caller's";
}

TEST(Clip, LeavesAloneWhatKeepsItsLimitOrHasNone) {
  const auto g = gradients();
  for (const auto& [router, experts] :
       std::vector<std::pair<double, double>>{{0, 0}, {13, 10}, {0, 10}, {13, 0}}) {
    const auto out = clipped(g, kOfRouter, limits(router, experts));
    for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(out[i].is_same(g[i])) << router << " " << experts << " " << i;
  }
  EXPECT_NEAR(norm({clipped(g, kOfRouter, limits(13 - 1e-9, 0))[0]}), 5, 1e-9);
}

TEST(Clip, AnOptimizerStepsWithinItsLimits) {
  const std::vector<gw::NamedParameter> list{{"router.w", at::zeros({2}, at::kDouble), true},
                                             {"w", at::zeros({2}, at::kDouble), false}};
  const auto sgd =
      gw::make_part<gw::Optimizer>("sgd", {{"momentum", 0.0}, {"weight_decay", 0.0}}, {list, limits(1, 0)});
  sgd->step({at::tensor({3.0, 4.0}), at::tensor({30.0, 40.0})}, 0.5);
  EXPECT_TRUE(at::allclose(list[0].value, at::tensor({-0.3, -0.4}), 1e-14)) << list[0].value;
  EXPECT_TRUE(at::allclose(list[1].value, at::tensor({-15.0, -20.0}), 1e-14)) << list[1].value;
}

struct Moved {
  std::vector<at::Tensor> router, others;
};

/// What one step of a run moved, without momentum and decay: the learning rate times its gradients.
Moved first_step(const std::string& part, const std::string& routing, const Json& clip) {
  auto config = small_config(small_objective(part));
  auto network = config.network.json();
  network["routing"] = routing;
  config.network = network;
  config.optimizer = Json{{"part", "sgd"}, {"momentum", 0.0}, {"weight_decay", 0.0}};
  config.schedule = Json{{"lr", 0.25}, {"shape", "constant"}};
  config.clip = clip;
  const Scratch scratch;
  Recording recording;
  recording.stop_after = 1;
  Trainer trainer(config);
  Moved moved;
  const auto copy = [](const std::vector<at::Tensor>& tensors) {
    std::vector<at::Tensor> out;
    for (const auto& tensor : tensors) out.push_back(tensor.detach().clone());
    return out;
  };
  const auto router = copy(trainer.network().router_parameters()),
             others = copy(trainer.network().backbone_parameters());
  EXPECT_THROW(trainer.run({scratch.path(), false, &recording.stop}, recording), gw::Interrupted);
  for (size_t i = 0; i < router.size(); ++i)
    moved.router.push_back(trainer.network().router_parameters()[i].detach() - router[i]);
  for (size_t i = 0; i < others.size(); ++i)
    moved.others.push_back(trainer.network().backbone_parameters()[i].detach() - others[i]);
  return moved;
}

TEST(Clip, ARunKeepsTheLimitsOfItsRouterAndItsExperts) {
  for (const char* part : {"trades", "adv_moe"}) {
    for (const char* routing : {"image", "layer"}) {
      if (std::string(part) == "adv_moe" && std::string(routing) == "layer")
        continue;  // wants a router of its own
      SCOPED_TRACE(std::string(part) + " " + routing);
      const auto free = first_step(part, routing, Json::object());
      ASSERT_GT(norm(free.router), 0.25e-3);
      ASSERT_GT(norm(free.others), 0.25e-2);
      const auto router = first_step(part, routing, {{"router", 1e-3}});
      EXPECT_NEAR(norm(router.router), 0.25e-3, 1e-6);
      for (size_t i = 0; i < free.others.size(); ++i)
        EXPECT_TRUE(at::equal(router.others[i], free.others[i])) << i;
      const auto experts = first_step(part, routing, {{"experts", 1e-2}});
      EXPECT_NEAR(norm(experts.others), 0.25e-2, 1e-5);
    }
  }
}

}  // namespace gw::test::clip_cases
