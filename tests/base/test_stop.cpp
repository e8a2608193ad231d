#include <gtest/gtest.h>

#include "gatewright/base/stop.h"

namespace gw::test {
namespace {

TEST(Stop, AsksAFlagAFunctionOrNobody) {
  EXPECT_FALSE(Stop().requested());
  EXPECT_FALSE(Stop(nullptr).requested());
  std::atomic<bool> flag{false};
  const Stop by_flag(&flag);
  EXPECT_FALSE(by_flag.requested());
  flag = true;
  EXPECT_TRUE(by_flag.requested()) << "the flag is read anew, not copied";
  int asked = 0;
  const Stop by_function = [&] { return ++asked == 2; };
  EXPECT_FALSE(by_function.requested());
  EXPECT_TRUE(by_function.requested());
}

}  // namespace
}  // namespace gw::test
