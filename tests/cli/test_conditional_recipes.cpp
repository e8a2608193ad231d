// Recipes of conditional learning and of backdoors at their tiny size, from outside.
#include <gtest/gtest.h>

#include "tests/cli/recipe_runs.h"

namespace gw::test::conditional_recipes_cases {

TEST(ConditionalRecipes, GgMoeHoldsTogether) { holds_together("gg_moe"); }
TEST(ConditionalRecipes, HomeHoldsTogether) { holds_together("home"); }
TEST(ConditionalRecipes, DeferralHoldsTogether) { holds_together("deferral"); }
TEST(ConditionalRecipes, MowstHoldsTogether) { holds_together("mowst"); }
TEST(ConditionalRecipes, BackdoorExpertHoldsTogether) { holds_together("backdoor_expert"); }
TEST(ConditionalRecipes, RobustPoisonedHoldsTogether) { holds_together("robust_poisoned"); }
TEST(ConditionalRecipes, FeamoeHoldsTogether) { holds_together("feamoe"); }
TEST(ConditionalRecipes, FreeAgentsHoldTogether) { holds_together("free_agents"); }
TEST(ConditionalRecipes, GateonHoldsTogether) { holds_together("gateon"); }
TEST(ConditionalRecipes, SparseTransportHoldsTogether) { holds_together("sparse_transport"); }
TEST(ConditionalRecipes, KamoeHoldsTogether) { holds_together("kamoe"); }
TEST(ConditionalRecipes, AutointHoldsTogether) { holds_together("autoint"); }
TEST(ConditionalRecipes, CustomisationHoldsTogether) { holds_together("customisation"); }
TEST(ConditionalRecipes, JeiDnnHoldsTogether) { holds_together("jei_dnn"); }
TEST(ConditionalRecipes, JeiDnnTextHoldsTogether) { holds_together("jei_dnn_text"); }
TEST(ConditionalRecipes, CompositionOfExpertsHoldsTogether) { holds_together("composition_of_experts"); }
TEST(ConditionalRecipes, FedjetsHoldsTogether) { holds_together("fedjets"); }
TEST(ConditionalRecipes, ContinualInferenceHoldsTogether) { holds_together("continual_inference"); }
TEST(ConditionalRecipes, GmopeHoldsTogether) { holds_together("gmope"); }
TEST(ConditionalRecipes, RobustQaHoldsTogether) { holds_together("robust_qa"); }

}  // namespace gw::test::conditional_recipes_cases
