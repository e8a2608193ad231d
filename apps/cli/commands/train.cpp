#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/device.h"
#include "apps/cli/provenance.h"
#include "apps/cli/recipes.h"
#include "apps/cli/signals.h"
#include "apps/cli/table.h"
#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/report/html.h"
#include "gatewright/report/write_report.h"
#include "gatewright/runs/check_run.h"
#include "gatewright/runs/progress.h"

namespace gw {
namespace {

/// Runs one arm of a recipe, or all of them, into run directories; arms that they start from are run first.
class TrainCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Run an arm of a recipe (or all): train, evaluate, write a run directory with a report.";

  const char* example() const override {
    return "gatewright train advmoe --size tiny --arm adv_moe --record-routes --out runs/first";
  }

  void declare(CLI::App& app) override {
    std::vector<CLI::Option*> of_a_new_run;
    const auto fresh = [&](CLI::Option* option) { of_a_new_run.push_back(option); };
    fresh(app.add_option("recipe", recipe_, "name of a recipe, or a .toml file"));
    fresh(app.add_option("--size", size_, "size of the experiment: tiny, demo, small, paper …")
              ->capture_default_str());
    fresh(app.add_option("--arm", arm_, "one arm; default: all of them"));
    fresh(app.add_option("--seed", seed_, "default: the first seed of the size")->check(at_least_zero));
    fresh(app.add_option("--set", overrides_,
                         "override a value: epochs=3, objective.beta=1, clip={router = 1.0}"));
    fresh(app.add_option("--out", out_, "run directory; default runs/<recipe>-<size>-<arm>-seed<k>")
              ->check(not_empty));
    auto* resume = app.add_option("--resume", resume_, "continue the run in this directory, bit for bit")
                       ->type_name("DIR")
                       ->check(not_empty);
    fresh(app.add_flag("--record-routes", record_,
                       "record which expert served what (docs/recording.md): short for"
                       " --set routes.record=true"));
    fresh(app.add_option("--replay-routes", replay_,
                         "force the routes of this recording: short for --set routes.replay=FILE")
              ->type_name("FILE"));
    for (auto* option : of_a_new_run)
      resume->excludes(option);  // the run's own recipe holds: nothing given may be ignored
    app.add_flag("--json", json_, "print the metrics as JSON");
    app.add_flag("--quiet", quiet_, "no progress");
    declare_device(app);
  }

  int run() override {
    catch_signals();
    if (!resume_.empty()) {
      const auto arm = make_arm(read_json(resume_ + "/" + kRecipeFile), "run " + resume_);
      print_result(resume_, run_one(*arm, resume_, true, {}, {}));
      return 0;
    }
    if (record_) overrides_.push_back("routes.record=true");
    if (!replay_.empty())
      overrides_.push_back("routes.replay=" + dump_json(replay_));  // a file may be called 123 or true
    GW_CHECK(!recipe_.empty(), "train: expected a recipe or --resume DIR, got neither; try: {}", example());
    const auto recipe = load_recipe(recipe_, recipe_folders());
    const auto arms = arm_.empty() ? recipe.arms : std::vector<std::string>{arm_};
    GW_CHECK(out_.empty() || arms.size() == 1,
             "train: expected one --arm with --out, got {} arms; leave --out away or name an arm",
             arms.size());
    const int64_t seed = seed_ >= 0 ? seed_ : recipe.seeds(size_).front();
    const auto directory = [&](const std::string& arm) {
      const bool chosen = !out_.empty() && arm == arms.front();
      return chosen ? out_ : fmt::format("runs/{}-{}-{}-seed{}", recipe.name, size_, arm, seed);
    };
    // All are examined before the first one runs: a typing error must not cost an hour.
    for (const auto& [name, arm] : examined_arms(recipe, arms, size_, seed, overrides_)) {
      const bool asked_for = std::find(arms.begin(), arms.end(), name) != arms.end();
      std::vector<Artefact> from;
      for (const auto& source : recipe.sources(name)) from.push_back({source, directory(source)});
      const bool resume = !asked_for && RunDirectory::holds_run(directory(name));
      const auto result = run_one(*arm, directory(name), resume, about(recipe, name, seed), from);
      if (asked_for) print_result(directory(name), result);
    }
    return 0;
  }

 private:
  /// What makes this run again, where, and when; the thread count changes no bit.
  About about(const Recipe& recipe, const std::string& arm, int64_t seed) const {
    std::string command = fmt::format("gatewright train {} --size {} --arm {} --seed {}", shell_word(recipe_),
                                      size_, arm, seed);
    for (const auto& item : overrides_) command += " --set " + shell_word(item);
    return about_arm(recipe, arm, command, machine_text(), today());
  }

  ArmResult run_one(const Arm& arm, const std::string& directory, bool resume, const About& from_where,
                    const std::vector<Artefact>& from) const {
    ArmRun run{directory, resume, &stop_requested(), quiet_ ? nullptr : stderr, steady_now_s, wall_now_s};
    run.about = from_where;
    const bool complete = std::filesystem::exists(directory + "/" + kSummaryFile);
    try {
      auto result = arm.run(run, from);
      if (complete && !quiet_) say(stderr, shown(directory) + ": already complete, showing its result\n");
      return result;
    } catch (const Interrupted& stop) {
      throw Interrupted(
          fmt::format("{}. Go on with: gatewright train --resume {}", stop.what(), shell_word(directory)));
    }
  }

  void print_result(const std::string& directory, const ArmResult& result) const {
    const auto in_short = write_report(directory + "/report.html", {directory});
    if (json_) {
      const Json document{
          {"arm", result.arm}, {"seed", result.seed}, {"directory", directory}, {"metrics", result.metrics}};
      fmt::print("{}\n", dump_json(document));  // a directory's name need not be UTF-8
      return;
    }
    fmt::print("\n{} seed {}\n{}", result.arm, result.seed, format_table(metric_rows(result.metrics)));
    for (const auto& sentence : in_short) fmt::print("{}\n", shown(sentence));
    fmt::print("report: {}/report.html\n", shown(directory));
  }

  /// Accuracies first, then the price; the worst case once.
  static std::vector<std::vector<std::string>> metric_rows(const std::map<std::string, double>& metrics) {
    std::vector<std::pair<int, std::string>> names;
    for (const auto& item : metrics)
      if (item.first != "robust.worst_case") names.emplace_back(metric_rank(item.first), item.first);
    std::sort(names.begin(), names.end());
    std::vector<std::vector<std::string>> rows{{"metric", ">value"}};
    for (const auto& item : names)
      rows.push_back(
          {metric_heading(item.second), format_value(metrics.at(item.second), unit_of_metric(item.second))});
    return rows;
  }

  std::string recipe_, size_ = "tiny", arm_, out_, resume_, replay_;
  int64_t seed_ = -1;
  std::vector<std::string> overrides_;
  bool json_ = false, quiet_ = false, record_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::TrainCommand);
