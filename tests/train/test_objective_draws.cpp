// Objectives hand the step's stream on: under a policy that draws, every step has draws of its own, and a
// repeated step the same.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "gatewright/base/registry.h"
#include "gatewright/train/objective.h"
#include "gatewright/train/optimizer.h"
#include "tests/train/small_run.h"

namespace gw::test::objective_draws_cases {

/// The load of the first decision of one step that moves nothing, on a network whose policy gives the whole
/// batch one random expert.
std::vector<int64_t> load_of_step(const std::string& name, uint64_t seed) {
  auto json = small_objective(name);
  if (name == "adv_moe") json["router_target"] = "bilevel";
  const auto config = small_config(json, 4);
  gw::NetworkOptions options;
  gw::parse_options("network", config.network.json(), options);
  options.policy = "random";
  gw::Network network(options, 1, 8, 8, 3);
  network.train();
  const auto optimizer = [&](const std::vector<at::Tensor>& of) {
    gw::Optimizer::Context context;
    for (const auto& item : network.named_parameters()) {
      for (const auto& tensor : of) {
        if (tensor.is_same(item.value())) context.parameters.push_back({item.key(), item.value()});
      }
    }
    return gw::make_part<gw::Optimizer>("sgd", gw::Json::object(), context);
  };
  const auto experts = optimizer(network.backbone_parameters()),
             router = optimizer(network.router_parameters());
  const auto task = image_task_within(0.1);
  const auto part = gw::make_chosen<gw::Objective>(json, {*task});
  auto batch = network.example(12, gw::Rng(5));
  batch.fields["label"] = at::arange(12, at::kLong).remainder(3);
  gw::StepContext context{network, image_task(), batch, *experts, router.get(), 0, gw::Rng(seed)};
  return part->step(context).load;
}

class ObjectiveDraws : public testing::TestWithParam<std::string> {};

TEST_P(ObjectiveDraws, AreThoseOfTheStep) {
  std::set<std::vector<int64_t>> seen;
  for (uint64_t seed = 0; seed < 12; ++seed) seen.insert(load_of_step(GetParam(), seed));
  EXPECT_GE(seen.size(), 3u);  // of four experts
  EXPECT_EQ(load_of_step(GetParam(), 3), load_of_step(GetParam(), 3));
}

const auto kName = [](const auto& objective) { return objective.param; };
INSTANTIATE_TEST_SUITE_P(All, ObjectiveDraws, testing::Values("natural", "trades", "adv_moe"), kName);

}  // namespace gw::test::objective_draws_cases
