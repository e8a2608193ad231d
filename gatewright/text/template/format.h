#pragma once
// Python's two ways to put values into a text.
#include <string>

#include "gatewright/text/template/arguments.h"

namespace gw::inline text::jinja {

/// "%s is %.2f" % values. A single dict serves %(name)s. Errors: ValueError for conversions other than
/// %s %r %d %i %u %f %F %e %E %g %G %x %X %o %c %%, and for values of the wrong type or number.
std::string format_percent(Meter& meter, const std::string& format, const Values& values);
/// "{} is {name}".format(…): fields by place and name. Errors: ValueError for attributes, conversions and
/// format specifications in fields ("{:>8}"), which are not supported.
std::string format_braces(Meter& meter, const std::string& format, const Arguments& arguments);

}  // namespace gw::inline text::jinja
