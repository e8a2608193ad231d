#pragma once
// What methods and filters of texts share.
#include <string>

#include "gatewright/text/template/value.h"

namespace gw::inline text::jinja {

/// str.split and str.rsplit. `separator` nullptr: runs of white space, none at the ends. `most` < 0: all.
/// Errors: ValueError for an empty separator.
Value split_text(Meter& meter, const std::string& text, const std::string* separator, int64_t most,
                 bool from_right);
/// str.replace, at most `count` times; below 0: everywhere.
std::string replaced(Meter& meter, const std::string& text, const std::string& from, const std::string& to,
                     int64_t count);
/// str.isupper and str.islower: there are letters, and all that have a case are in this one.
bool is_in_case(const std::string& text, bool upper_case);

}  // namespace gw::inline text::jinja
