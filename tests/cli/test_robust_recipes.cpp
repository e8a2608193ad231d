// The recipes of robust image networks at their tiny size, from outside.
#include <gtest/gtest.h>

#include <string>

#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace gw::test::robust_recipes_cases {

// Fails if a mark of the size is missed, a part of the recipe is refused, or an arm does not run.
void checked(const std::string& recipe) {
  const Scratch scratch;
  const auto answer = cli("check " + recipe + " --size tiny --jobs 1 --out " + (scratch / "run"));
  EXPECT_EQ(answer.code, 0) << answer.text;
}

// All arms of robust_moe take half a minute; what they are made of is in robust_methods too.
TEST(RobustRecipes, RobustMoeHoldsTogether) { checked("robust_moe --arm mixture routed_certified"); }
TEST(RobustRecipes, RobustMethodsHoldTogether) { checked("robust_methods"); }

}  // namespace gw::test::robust_recipes_cases
