#pragma once
// Tests of every level of a family of kernels: each case once for each level, skipped where the processor has
// not what the level asks for.
//   struct AttendLevel : gw::test::LevelTest<attend_family> {};
//   TEST_P(AttendLevel, …)
//   INSTANTIATE_TEST_SUITE_P(Levels, AttendLevel, gw::test::all_levels<attend_family>(),
//   gw::test::level_name);
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gw::test {

template <auto Family>
struct LevelTest : testing::TestWithParam<std::string> {
  void SetUp() override {
    for (const auto& level : Family().levels()) {
      if (level.name == GetParam() && !level.available) GTEST_SKIP() << level.reason;
    }
    Family().force(GetParam());
  }
  void TearDown() override { Family().force(""); }
};

template <auto Family>
auto all_levels() {
  std::vector<std::string> names;
  for (const auto& level : Family().levels()) names.push_back(level.name);
  return testing::ValuesIn(names);
}

inline std::string level_name(const testing::TestParamInfo<std::string>& level) { return level.param; }

}  // namespace gw::test
