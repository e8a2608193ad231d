#pragma once
// A recipe written down in a test, checked at size tiny.
#include <fstream>
#include <string>
#include <vector>

#include "gatewright/runs/check_run.h"
#include "tests/runs/scratch.h"

namespace gw::test {

inline Recipe recipe_of(const Scratch& scratch, const std::string& text) {
  std::ofstream(scratch / "r.toml") << text;
  return load_recipe(scratch / "r.toml", {});
}

inline CheckOutcome check_in(const Scratch& scratch, const std::string& text,
                             std::vector<std::string> arms = {}, std::vector<std::string> overrides = {},
                             const std::string& out = "out") {
  ArmRun run{scratch / out, false, nullptr, nullptr, [] { return 0.0; }, [] { return 0.0; }};
  run.timing_rounds = 0;
  return run_check(recipe_of(scratch, text),
                   {"tiny", std::move(arms), {}, std::move(overrides), "command", "machine", "2026-01-01"},
                   run);
}

}  // namespace gw::test
