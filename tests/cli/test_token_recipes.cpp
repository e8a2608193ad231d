// Recipes in which tokens or tasks decide who serves them, at their tiny size, from outside.
#include <gtest/gtest.h>

#include <string>

#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace gw::test::token_recipes_cases {

// Fails if a mark of the size is missed, a part of the recipe is refused, or an arm does not run.
void checked(const std::string& recipe) {
  const Scratch scratch;
  const auto answer = cli("check " + recipe + " --size tiny --jobs 1 --out " + (scratch / "run"));
  EXPECT_EQ(answer.code, 0) << answer.text;
}

TEST(TokenRecipes, AdaMoleHoldsTogether) { checked("adamole"); }
TEST(TokenRecipes, AdaptiveGatingHoldsTogether) { checked("adaptive_gating"); }
TEST(TokenRecipes, TaskMoeHoldsTogether) { checked("task_moe"); }

}  // namespace gw::test::token_recipes_cases
