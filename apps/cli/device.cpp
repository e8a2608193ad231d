#include "apps/cli/device.h"

#include <ATen/Context.h>
#include <fmt/format.h>
#include <torch/version.h>

#include <string>

namespace gw {
namespace {

/// Nothing for a device that can be had, else what is wrong with it.
std::string refused(const std::string& device) {
  if (device == "cpu") return "";
  if (device != "cuda" && device.rfind("cuda:", 0) != 0) return "expected cpu or cuda, got " + device;
  if (!at::hasCUDA()) {
    return fmt::format(
        "expected a libtorch with CUDA for {}, got {} without; trainings and attacks run on the processor: "
        "leave --device out",
        device, TORCH_VERSION);
  }
  return fmt::format(
      "expected cpu, got {}: trainings and attacks have no path for a GPU yet, although this libtorch ({}) "
      "finds one; leave --device out",
      device, TORCH_VERSION);
}

}  // namespace

void declare_device(CLI::App& app) {
  app.add_option("--device", "what computes: cpu; cuda is refused with the reason")
      ->type_name("NAME")
      ->check(CLI::Validator(refused, ""));
}

}  // namespace gw
