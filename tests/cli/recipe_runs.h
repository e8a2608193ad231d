#pragma once
#include <gtest/gtest.h>

#include <string>

#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace gw::test {

/// Runs `check RECIPE --size tiny`: fails if a mark of the size is missed, a part of the recipe is refused,
/// or an arm does not run.
inline void holds_together(const std::string& recipe) {
  const Scratch scratch;
  const auto answer = cli("check " + recipe + " --size tiny --jobs 1 --out " + (scratch / "run"));
  EXPECT_EQ(answer.code, 0) << answer.text;
}

}  // namespace gw::test
