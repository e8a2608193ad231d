#include <gtest/gtest.h>

#include "gatewright/routing/reach.h"
#include "tests/routing/parts.h"

namespace gw::test::reach_cases {

std::string complaint(const at::Tensor& loss, const std::vector<at::Tensor>& parameters) {
  try {
    gw::router_reach("balance", loss, parameters);
  } catch (const gw::ValueError& error) {
    return error.what();
  }
  return "";
}

TEST(RouterReach, TellsALivingLossFromTheThreeDeadKinds) {
  const auto router = gate("linear");
  const auto x = gw::ops::normal(gw::Rng(1), {16, kWidth}, 0, 1);
  const auto balance = gw::make_part<gw::Balancer>("switch_loss", gw::Json::object(), {kExperts});
  const auto part = policy("softmax_top_k");
  const auto loss = balance->loss(part->plan(router->forward(x), true, gw::Rng(1)));
  EXPECT_GT(gw::router_reach("balance", loss, router->parameters()), 0);
  EXPECT_NEAR(gw::gradient_norm(loss * 2, router->parameters()),
              2 * gw::gradient_norm(loss, router->parameters()), 1e-9);  // the graph is kept
  const auto detached = balance->loss(part->plan(router->forward(x).detach(), true, gw::Rng(1)));
  EXPECT_NE(complaint(detached, router->parameters()).find("detached from the scores"), std::string::npos);
  EXPECT_NE(complaint(loss * 0, router->parameters()).find("coefficient zero"), std::string::npos);
  EXPECT_NE(complaint(gate("linear")->forward(x).sum(), router->parameters()).find("gradient norm 0"),
            std::string::npos);  // another router's
  EXPECT_NE(complaint(loss, {}).find("without one"), std::string::npos);
  EXPECT_EQ(complaint(loss, router->parameters()), "");
}

}  // namespace gw::test::reach_cases
