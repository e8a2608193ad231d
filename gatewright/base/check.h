#pragma once
// Checks with formatted messages, for source files. Not installed: installed headers bring no fmt.
#include <fmt/format.h>

#include "gatewright/base/error.h"

namespace gw::inline base {

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw ValueError(fmt::format(format, std::forward<Args>(args)...));
}

/// What GW_ENSURE throws.
template <class... Args>
[[noreturn]] void fail_ensure(fmt::format_string<Args...> format, Args&&... args) {
  throw InternalError(fmt::format(format, std::forward<Args>(args)...));
}

/// GW_CHECK(condition, format, arguments…) throws ValueError with the formatted message unless the condition
/// holds. A macro, so that the arguments (often texts that must be made first) are evaluated only when it
/// does not.
#define GW_CHECK(condition, ...)   \
  do {                             \
    if (!(condition)) [[unlikely]] \
      ::gw::fail(__VA_ARGS__);     \
  } while (false)

/// The same with InternalError: for what no input may cause.
#define GW_ENSURE(condition, ...)     \
  do {                                \
    if (!(condition)) [[unlikely]]    \
      ::gw::fail_ensure(__VA_ARGS__); \
  } while (false)

}  // namespace gw::inline base
