// GATEWRIGHT_KERNELS for the tests too: every suite can run at a forced kernel level. A level that this
// processor lacks skips the run.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "gatewright/base/dispatch.h"
#include "gatewright/base/error.h"

namespace {

/// Set up before the first test, when all families are known.
class ForcedLevels : public testing::Environment {
 public:
  void SetUp() override {
    const char* levels = std::getenv("GATEWRIGHT_KERNELS");
    if (levels == nullptr) return;
    try {
      gw::force_kernels(levels);
    } catch (const gw::Error& error) {
      std::fprintf(stderr, "skipped: %s\n", error.what());
      std::_Exit(77);
    }
  }
};

[[maybe_unused]] const auto* const forced = testing::AddGlobalTestEnvironment(new ForcedLevels);

}  // namespace
