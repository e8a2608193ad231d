#include "gatewright/report/inspect.h"

#include <fmt/format.h>

#include <optional>

#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/convert_model.h"
#include "apps/cli/inspect_model.h"
#include "apps/cli/signals.h"
#include "apps/cli/table.h"
#include "gatewright/base/check.h"
#include "gatewright/runs/progress.h"
#include "gatewright/runs/run_directory.h"

namespace gw {
namespace {

/// Shows who served what, of a recorded run or of a checkpoint on its test images; or what a language model
/// is and takes.
class InspectCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Show the routing of a recorded run or of a checkpoint: load, dead experts, dropped tokens, flips, "
      "classes; or what a language model is and takes: parameters, memory, tokens a second.";

  const char* example() const override { return "gatewright inspect runs/first"; }

  void declare(CLI::App& app) override {
    app.add_option("path", path_,
                   "run directory, recording or checkpoint: runs/first, runs/first/routes.bin, "
                   "runs/first/best.safetensors; or a language model: folder, GGUF file or name")
        ->required();
    app.add_option("--against", against_,
                   "another run, recording or checkpoint: how many test samples take other experts; "
                   "--against runs/second")
        ->type_name("PATH");
    app.add_option("--attack", options_.attacks,
                   "attack the test images of a checkpoint; flips are those of the first; --attack joint pgd")
        ->type_name("NAME");
    app.add_option("--images", options_.images,
                   "the first so many test images of a checkpoint, 0: all; --images 200")
        ->check(at_least_zero);
    app.add_flag("--prometheus", prometheus_, "print Prometheus text; --prometheus > routes.prom");
    app.add_flag("--json", json_,
                 "print JSON, with the load of every slice of training; --json | jq .layers[0].stats");
  }

  int run() override {
    catch_signals();
    if (!is_run(path_) && is_language_model(path_)) {
      const bool plain = against_.empty() && options_.attacks.empty() && options_.images == 0 && !prometheus_;
      GW_CHECK(plain, "inspect: expected only --json for a language model, got flags of recorded runs");
      inspect_model(path_, json_);
      return 0;
    }
    const auto view = look(path_);
    const auto differences =
        against_.empty() ? std::vector<RouteDifference>{} : compare_routes(view, look(against_));
    GW_CHECK(against_.empty() || !differences.empty(),
             "inspect: expected test samples that both {} and {} routed through layers of the same names, "
             "got none; compare runs of one "
             "network that recorded their evaluation",
             path_, against_);
    if (prometheus_) {
      fmt::print("{}", prometheus_text(view));
    } else if (json_) {
      auto json = to_json(view);
      for (const auto& d : differences)
        json["differences"].push_back({{"layer", d.layer}, {"compared", d.compared}, {"differ", d.differ}});
      fmt::print("{}\n", dump_json(json));
    } else {
      print(view, differences);
    }
    return 0;
  }

 private:
  RouteView look(const std::string& path) const {
    std::optional<Progress> progress;
    return inspect_routes(path, options_, [&](int64_t done, int64_t total) {
      if (stop_requested().load()) throw Interrupted("interrupted; nothing was written");
      if (!progress) {
        auto options = progress_for(stderr, steady_now_s);
        options.label = "inspect", options.unit = "examples";
        progress.emplace(total, options);
      }
      progress->update(done);
    });
  }

  static void print(const RouteView& view, const std::vector<RouteDifference>& differences) {
    fmt::print("{}\n\n{}", routes_origin(view), format_table(statistics_rows(view)));
    for (const auto& layer : view.layers) {
      const auto rows = affinity_rows(view, layer);
      if (!rows.empty() && layer.experts <= kExpertsShown) fmt::print("\n{}", format_table(rows));
    }
    if (!differences.empty())
      fmt::print("\ntest samples that take other experts\n{}", format_table(difference_rows(differences)));
  }

  static constexpr int64_t kExpertsShown = 16;  // wider tables wrap on a terminal; --json has them
  std::string path_, against_;
  InspectOptions options_;
  bool json_ = false, prometheus_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::InspectCommand);
