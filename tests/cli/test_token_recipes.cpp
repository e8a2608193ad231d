// Recipes in which tokens or tasks decide who serves them, at their tiny size, from outside.
#include <gtest/gtest.h>

#include "tests/cli/recipe_runs.h"

namespace gw::test::token_recipes_cases {

TEST(TokenRecipes, AdaMoleHoldsTogether) { holds_together("adamole"); }
TEST(TokenRecipes, AdaMoleOfADecoderHoldsTogether) { holds_together("adamole_text"); }
TEST(TokenRecipes, AdaptiveGatingHoldsTogether) { holds_together("adaptive_gating"); }
TEST(TokenRecipes, MoeEmbeddingsHoldTogether) { holds_together("moe_embeddings"); }
TEST(TokenRecipes, JetMoeHoldsTogether) { holds_together("jetmoe"); }
TEST(TokenRecipes, UnionOfExpertsHoldsTogether) { holds_together("union_of_experts"); }
TEST(TokenRecipes, TaskMoeHoldsTogether) { holds_together("task_moe"); }

}  // namespace gw::test::token_recipes_cases
