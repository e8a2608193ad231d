// The recipes of robust image networks at their tiny size, from outside.
#include <gtest/gtest.h>

#include "tests/cli/recipe_runs.h"

namespace gw::test::robust_recipes_cases {

// All arms of robust_moe take half a minute; what they are made of is in robust_methods too.
TEST(RobustRecipes, RobustMoeHoldsTogether) { holds_together("robust_moe --arm mixture routed_certified"); }
TEST(RobustRecipes, RobustMethodsHoldTogether) { holds_together("robust_methods"); }

}  // namespace gw::test::robust_recipes_cases
