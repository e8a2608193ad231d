#include "gatewright/text/template/meter.h"

#include "gatewright/base/check.h"

namespace gw::inline text::jinja {

void Meter::exhausted() {
  fail("expected a render within {} steps, got more; is there a loop in a loop?", kStepLimit);
}

void Meter::too_long(size_t bytes) {
  fail("expected texts of at most {} bytes, got one of {}", kTextLimit_bytes, bytes);
}

void Meter::too_deep() {
  fail(
      "expected at most {} levels of expressions, statements and macros, got more; does a macro call itself?",
      kCallLimit);
}

}  // namespace gw::inline text::jinja
