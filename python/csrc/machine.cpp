// What `gatewright.doctor()` shows, and the choice of kernel levels.
#include <torch/library.h>

#include "gatewright/base/cpu_info.h"
#include "gatewright/base/dispatch.h"
#include "gatewright/base/json.h"
#include "python/csrc/bind.h"

namespace gw::python {
namespace {

Json families() {
  auto out = Json::object();
  for (const auto* family : kernel_families()) {
    auto unavailable = Json::object();
    for (const auto& level : family->levels()) {
      if (!level.available) unavailable[level.name] = level.reason;
    }
    out[family->name()] = {{"chosen", family->levels()[static_cast<size_t>(family->chosen())].name},
                           {"why", family->why()},
                           {"unavailable", unavailable}};
  }
  return out;
}

std::string describe(std::string what) {
  return guarded([&] {
    if (what != "machine") throw ValueError("describe: expected \"machine\", got \"" + what + "\"");
    return Json{{"processor", cpu_info().brand}, {"kernels", families()}}.dump();
  });
}

void force(std::string text) {
  guarded([&] { force_kernels(text); });
}

}  // namespace
}  // namespace gw::python

TORCH_LIBRARY_FRAGMENT(gatewright, m) {
  m.def("describe(str what) -> str", gw::python::describe);
  m.def("force_kernels(str text) -> ()", gw::python::force);
}
