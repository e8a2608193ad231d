#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/version.h>

#include <algorithm>
#include <sstream>

#include "apps/cli/command.h"
#include "apps/cli/provenance.h"
#include "gatewright/base/cpu_info.h"
#include "gatewright/base/dispatch.h"
#include "gatewright/data/dataset.h"
#include "gatewright/kernels/cuda/level.h"
#include "gatewright/ops/blas_info.h"

namespace gw {
namespace {

Json kernel_levels() {
  Json families = Json::array();
  for (const auto* family : kernel_families()) {
    Json levels = Json::array();
    for (const auto& level : family->levels())
      levels.push_back({{"name", level.name}, {"available", level.available}, {"reason", level.reason}});
    const auto& chosen = family->levels()[static_cast<size_t>(family->chosen())];
    families.push_back(
        {{"family", family->name()}, {"chosen", chosen.name}, {"why", family->why()}, {"levels", levels}});
  }
  return families;
}

// The lines of libtorch's own report that say what its arithmetic runs on: "oneDNN v2.7.2", "OpenMP …", "CPU
// capability usage: …".
std::vector<std::string> libtorch_notes() {
  std::vector<std::string> notes;
  std::istringstream config(at::show_config());
  for (std::string line; std::getline(config, line);) {
    const auto start = line.find_first_not_of(" -");
    if (start == std::string::npos || line.find("Build settings") != std::string::npos) continue;
    for (const char* key : {"DNN", "OpenMP", "Math Kernel", "CPU capability"}) {
      if (line.find(key) == std::string::npos) continue;
      notes.push_back(line.substr(start));
      break;
    }
  }
  return notes;
}

Json libtorch() {
  const auto blas = ops::blas_info();
  std::string file = GW_TORCH_LIBDIR;
  for (const auto& path : ops::loaded_libraries()) {
    if (path.find("/libtorch_cpu.so") != std::string::npos) file = path;
  }
  return {{"version", TORCH_VERSION},
          {"origin", GW_TORCH_ORIGIN},
          {"file", file},
          {"onednn", at::globalContext().hasMKLDNN()},
          {"blas", {{"name", blas.name}, {"library", blas.library}, {"warning", blas.warning}}},
          {"notes", libtorch_notes()}};
}

std::string gpu() {
  if (at::hasCUDA()) return fmt::format("{} CUDA device(s)", at::detail::getCUDAHooks().getNumGPUs());
  return "none that this libtorch can use";
}

Json datasets() {
  Json all = Json::array();
  for (const auto& part : Registry::instance().list()) {
    if (part.kind != Dataset::kKind) continue;
    const auto missing = make_part<Dataset>(part.name, Json::object(), {})->missing();
    all.push_back({{"name", part.name}, {"found", missing.empty()}, {"missing", missing}});
  }
  return all;
}

Json examine() {
  const auto& cpu = cpu_info();
  return {{"gatewright", version_with_commit()},
          {"cpu", {{"brand", cpu.brand}, {"cores", cpu.cores}, {"features", cpu.features()}}},
          {"threads", at::get_num_threads()},
          {"kernels", kernel_levels()},
          {"libtorch", libtorch()},
          {"gpu", gpu()},
          {"cuda", kernels::cuda_report()},
          {"datasets", datasets()}};
}

void line(const char* name, const std::string& value) { fmt::print("{:<11} {}\n", name, value); }

void print_kernels(const Json& families) {
  if (families.empty()) line("kernels", "no family is compiled in: libtorch does all arithmetic");
  for (const auto& family : families) {
    line("kernels", fmt::format("{}: {} ({})", family["family"].get<std::string>(),
                                family["chosen"].get<std::string>(), family["why"].get<std::string>()));
    for (const auto& level : family["levels"]) {
      const bool available = level["available"];
      const auto reason = level["reason"].get<std::string>();
      line("", fmt::format("  {:<8} {}{}{}", level["name"].get<std::string>(),
                           available ? "can run" : "cannot run here", reason.empty() ? "" : ": ", reason));
    }
  }
}

void print_libtorch(const Json& torch) {
  const auto version = torch["version"].get<std::string>(), origin = torch["origin"].get<std::string>();
  line("libtorch", fmt::format("{} ({}: {})", version, origin, torch["file"].get<std::string>()));
  if (version == "1.13.0" && origin == "debian")
    line("", "  Debian's package is 1.13.1 and calls itself 1.13.0");
  for (const auto& note : torch["notes"]) line("", "  " + note.get<std::string>());
  line("oneDNN", torch["onednn"].get<bool>() ? "yes" : "no: convolutions will be slow");
  const auto& blas = torch["blas"];
  const auto library = blas["library"].get<std::string>(), warning = blas["warning"].get<std::string>();
  line("BLAS", blas["name"].get<std::string>() + (library.empty() ? "" : " (" + library + ")"));
  if (!warning.empty()) line("", "  WARNING: " + warning);
}

void print_datasets(const Json& sets) {
  for (const auto& set : sets) {
    const auto name = set["name"].get<std::string>(), missing = set["missing"].get<std::string>();
    if (set["found"].get<bool>()) {
      line("dataset", name + ": found");
      continue;
    }
    line("dataset", name + ": not found");
    for (size_t start = 0; start < missing.size();) {  // what was expected, and what to do: a line each
      const size_t end = std::min(missing.find("; ", start), missing.size());
      line("", "  " + missing.substr(start, end - start));
      start = end + 2;
    }
  }
}

/// First what one looks for (the data, the libraries that decide the speed), then the long list of kernel
/// levels.
void print_text(const Json& report) {
  line("gatewright", report["gatewright"]);
  const auto& cpu = report["cpu"];
  line("CPU", fmt::format("{}, {} core(s) for this process", cpu["brand"].get<std::string>(),
                          cpu["cores"].get<int>()));
  line("threads", fmt::format("{}", report["threads"].get<int>()));
  print_datasets(report["datasets"]);
  print_libtorch(report["libtorch"]);
  line("GPU", report["gpu"]);
  line("CUDA", report["cuda"]);
  line("features", fmt::format("{}", fmt::join(cpu["features"].get<std::vector<std::string>>(), " ")));
  print_kernels(report["kernels"]);
}

/// Says what this machine gives: processor, kernel levels and why, libtorch and its BLAS, GPU, datasets.
class DoctorCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Say what runs here and why: CPU, kernel levels, libtorch, BLAS, GPU, datasets.";

  const char* example() const override { return "GATEWRIGHT_KERNELS=ref gatewright doctor"; }
  void declare(CLI::App& app) override { app.add_flag("--json", json_, "print JSON"); }

  int run() override {
    const Json report = examine();
    if (json_) {
      fmt::print("{}\n", report.dump(2));
    } else {
      print_text(report);
    }
    return 0;
  }

 private:
  bool json_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, DoctorCommand);
