// What is said about levels that nobody knows.
#include <gtest/gtest.h>

#include "gatewright/base/dispatch.h"
#include "gatewright/base/error.h"

namespace {

std::string message_of(const std::string& text) {
  try {
    gw::force_kernels(text);
  } catch (const gw::ValueError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(KernelLevels, AnUnknownOneIsAnsweredByOneRowPerFamily) {
  const auto text = message_of("no_such_level");
  EXPECT_EQ(text.find("GATEWRIGHT_KERNELS: unknown level \"no_such_level\"; families and their levels:\n"),
            0u)
      << text;
  for (const auto* family : gw::kernel_families()) {
    std::string row = "\n  " + family->name() + ":";
    for (const auto& level : family->levels()) row += " " + level.name;
    const auto place = text.find(row);
    EXPECT_NE(place, std::string::npos) << row;
    EXPECT_EQ(text.find("\n  " + family->name() + ":", place + 1), std::string::npos) << "twice";
  }
  EXPECT_EQ(message_of("avx51"), "GATEWRIGHT_KERNELS: unknown level \"avx51\"; did you mean \"avx512\"?");
}

}  // namespace
