#pragma once
// What all files of the extension share: errors that Python knows.
#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include "gatewright/base/error.h"

namespace gw::python {

/// body(), with ValueError of the library, and NumericError (NaN among scores), as Python's ValueError.
/// Others arrive as RuntimeError with their text.
template <class Body>
auto guarded(const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const ValueError& e) {
    throw c10::ValueError({__func__, __FILE__, static_cast<uint32_t>(__LINE__)}, e.what());
  } catch (const NumericError& e) {
    throw c10::ValueError({__func__, __FILE__, static_cast<uint32_t>(__LINE__)}, e.what());
  }
}

}  // namespace gw::python
