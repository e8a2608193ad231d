#pragma once
// Written by tools/make_character_tables.py with the tables: do not edit.
#include <cstdint>

namespace gw::inline text::jinja {

struct CaseRun {
  char32_t first, last;
  uint32_t stride;
  int32_t shift;  ///< to the other case
};
struct LongerUpper {
  char32_t point;
  const char* upper;  ///< more than one character, UTF-8
};
struct HiddenRun {
  char32_t first, last;
};

extern const CaseRun kUpperRuns[194];
extern const CaseRun kLowerRuns[181];
extern const LongerUpper kLongerUpper[102];
extern const HiddenRun kHiddenRuns[712];  ///< what repr() writes as \x…, \u… or \U…

}  // namespace gw::inline text::jinja
