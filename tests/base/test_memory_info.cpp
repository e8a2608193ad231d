#include <gtest/gtest.h>

#include <filesystem>

#include "gatewright/base/memory_info.h"
#include "tests/runs/scratch.h"

namespace gw::test::memory_info_cases {

namespace fs = std::filesystem;

TEST(MemoryInfo, LimitsOfControlGroupsCount) {
  const Scratch scratch;
  const std::string system = "MemTotal:  9000 kB\nMemAvailable:    4000 kB\n";
  fs::create_directories(scratch / "a/b");
  EXPECT_EQ(available_memory(system, "0::/a/b\n", scratch.path()), 4096000);
  write_file(scratch / "a/b/memory.max", "max\n");
  write_file(scratch / "a/b/memory.current", "1000\n");
  EXPECT_EQ(available_memory(system, "0::/a/b\n", scratch.path()), 4096000) << "no limit";
  write_file(scratch / "a/memory.max", "3000000\n");
  write_file(scratch / "a/memory.current", "1000000\n");
  EXPECT_EQ(available_memory(system, "0::/a/b\n", scratch.path()), 2000000) << "of the group around it";
  write_file(scratch / "a/memory.stat", "anon 5\ninactive_file 300000\n");
  EXPECT_EQ(available_memory(system, "0::/a/b\n", scratch.path()), 2300000) << "dropped before it is short";
  fs::create_directories(scratch / "memory/c");
  write_file(scratch / "memory/c/memory.limit_in_bytes", "700\n");
  write_file(scratch / "memory/c/memory.usage_in_bytes", "900\n");
  EXPECT_EQ(available_memory(system, "4:cpu,memory:/c\n", scratch.path()), 0) << "over its limit";
  for (const char* damaged : {"", "x", "0:", "0::", "a:b:c\n", ":::\n"})
    EXPECT_EQ(available_memory(system, damaged, scratch / "none"), 4096000) << damaged;
  EXPECT_EQ(available_memory("", "", scratch.path()), 0);
}

TEST(MemoryInfo, ThisMachineHasSome) { EXPECT_GT(available_memory(), 1 << 20); }

}  // namespace gw::test::memory_info_cases
