#pragma once
// What an action is refused with.
#include <gtest/gtest.h>

#include <string>

#include "gatewright/base/error.h"

namespace gw::test {

/// The message of the `Expected` error that `action` throws, "accepted" if it throws none; other errors pass.
template <class Expected = gw::Error, class Action>
std::string refusal(Action&& action) {
  try {
    action();
  } catch (const Expected& error) {
    return error.what();
  }
  return "accepted";
}

inline void expect_part(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text << "\nlooked for: " << part;
}

}  // namespace gw::test
