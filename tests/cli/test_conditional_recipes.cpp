// Recipes of conditional learning and of backdoors at their tiny size, from outside.
#include <gtest/gtest.h>

#include <string>

#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace gw::test::conditional_recipes_cases {

void checked(const std::string& recipe) {
  const Scratch scratch;
  const auto answer = cli("check " + recipe + " --size tiny --out " + (scratch / "run"));
  EXPECT_EQ(answer.code, 0) << answer.text;
}

// Fails if a mark of the size is missed, a part of the recipe is refused, or an arm does not run.
TEST(ConditionalRecipes, HomeHoldsTogether) { checked("home"); }
TEST(ConditionalRecipes, DeferralHoldsTogether) { checked("deferral"); }
TEST(ConditionalRecipes, MowstHoldsTogether) { checked("mowst"); }
TEST(ConditionalRecipes, BackdoorExpertHoldsTogether) { checked("backdoor_expert"); }
TEST(ConditionalRecipes, RobustPoisonedHoldsTogether) { checked("robust_poisoned"); }
TEST(ConditionalRecipes, FeamoeHoldsTogether) { checked("feamoe"); }
TEST(ConditionalRecipes, FreeAgentsHoldTogether) { checked("free_agents"); }
TEST(ConditionalRecipes, GateonHoldsTogether) { checked("gateon"); }
TEST(ConditionalRecipes, SparseTransportHoldsTogether) { checked("sparse_transport"); }
TEST(ConditionalRecipes, KamoeHoldsTogether) { checked("kamoe"); }
TEST(ConditionalRecipes, AutointHoldsTogether) { checked("autoint"); }
TEST(ConditionalRecipes, CustomisationHoldsTogether) { checked("customisation"); }
TEST(ConditionalRecipes, JeiDnnHoldsTogether) { checked("jei_dnn"); }

}  // namespace gw::test::conditional_recipes_cases
