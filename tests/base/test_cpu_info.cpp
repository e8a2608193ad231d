// Cores: what quotas of control groups leave.
#include <gtest/gtest.h>

#include <filesystem>

#include "gatewright/base/cpu_info.h"
#include "tests/runs/scratch.h"

namespace {

namespace fs = std::filesystem;
using gw::quota_cores;
using gw::test::Scratch;
using gw::test::write_file;

}  // namespace

TEST(CpuInfo, QuotasOfControlGroupsLimitTheCores) {
  const Scratch scratch;
  fs::create_directories(scratch / "a/b");
  EXPECT_EQ(quota_cores("0::/a/b\n", scratch.path()), 0) << "no file, no quota";
  write_file(scratch / "a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(quota_cores("0::/a/b\n", scratch.path()), 0);
  write_file(scratch / "a/cpu.max", "250000 100000\n");
  EXPECT_EQ(quota_cores("0::/a/b\n", scratch.path()), 3) << "of the group around it, rounded up";
  write_file(scratch / "a/b/cpu.max", "100000 100000\n");
  EXPECT_EQ(quota_cores("0::/a/b\n", scratch.path()), 1) << "the least counts";
  write_file(scratch / "cpu.max", "50000 100000\n");
  EXPECT_EQ(quota_cores("0::/\n", scratch.path()), 1) << "in a container its own group is the root";
  for (const char* damaged : {"", "x", "0:", "0::", "a:b:c\n", ":::\n"})
    EXPECT_LE(quota_cores(damaged, scratch / "none"), 0) << damaged;
}

TEST(CpuInfo, QuotasOfTheFirstVersion) {
  const Scratch scratch;
  fs::create_directories(scratch / "cpu/a");
  write_file(scratch / "cpu/a/cpu.cfs_quota_us", "-1\n");
  write_file(scratch / "cpu/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota_cores("4:cpu,cpuacct:/a\n3:memory:/m\n", scratch.path()), 0);
  write_file(scratch / "cpu/a/cpu.cfs_quota_us", "200000\n");
  EXPECT_EQ(quota_cores("4:cpu,cpuacct:/a\n3:memory:/m\n", scratch.path()), 2);
  EXPECT_EQ(quota_cores("3:cpuset:/a\n", scratch.path()), 0) << "another controller";
}
