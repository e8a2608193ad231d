#include "gatewright/base/check.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "apps/cli/check_tables.h"
#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/device.h"
#include "apps/cli/provenance.h"
#include "apps/cli/recipes.h"
#include "apps/cli/signals.h"
#include "gatewright/base/memory_info.h"
#include "gatewright/base/shown.h"
#include "gatewright/report/write_report.h"
#include "gatewright/runs/check_run.h"
#include "gatewright/runs/run_directory.h"

namespace gw {
namespace {

/// Runs a recipe's arms over its seeds and compares every measurement with its mark.
class CheckCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Run a recipe's arms over its seeds; print claim, mark, measured value and verdict.";

  const char* example() const override { return "gatewright check advmoe --size tiny"; }

  void declare(CLI::App& app) override {
    app.add_option("recipe", recipe_, "name of a recipe, or a .toml file")->required();
    app.add_option("--size", size_, "size of the experiment")->capture_default_str();
    app.add_option("--arm", arms_,
                   "only these arms and those that they start from (marks that need others are not met)");
    app.add_option("--seeds", seeds_, "these seeds instead of the recipe's");
    app.add_option("--set", overrides_, "override a value in every arm: epochs=3");
    app.add_option("--out", out_, "directory of the runs; default runs/check-<recipe>-<size>")
        ->check(not_empty);
    app.add_flag("--fresh", fresh_, "forget the runs that the directory holds");
    app.add_option("--jobs", jobs_,
                   "runs at a time, each in its own process; 0: as many as there are seeds, up to the cores "
                   "and to 2 GB of free memory each")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_flag("--worker", worker_)->group("");  // one run of a check with --jobs; not for people
    app.add_option("--as", as_)->group("");        // the command that the workers' pages name
    app.add_flag("--json", json_, "print check.json");
    app.add_flag("--quiet", quiet_, "no progress");
    declare_device(app);
  }

  int run() override {
    catch_signals();
    const auto recipe = load_recipe(recipe_, recipe_folders());
    const auto directory = out_.empty() ? fmt::format("runs/check-{}-{}", recipe.name, size_) : out_;
    if (fresh_) forget(directory);
    CheckOptions options{size_, arms_, seeds_, overrides_, command_line(), machine_text(), today()};
    ArmRun run{directory, false, &stop_requested(), quiet_ ? nullptr : stderr, steady_now_s, wall_now_s};
    if (worker_) {
      options.command = as_;
      run_as_worker(recipe, options, run);
      return 0;
    }
    options.jobs = jobs(seeds_.empty() ? recipe.seeds(size_).size() : seeds_.size());
    options.worker = [&](const CheckRun& one) { return worker_command(directory, options, one); };
    const auto outcome = checked(recipe, options, run);
    const auto in_short = write_report(directory + "/report.html", {directory});
    if (json_) {
      fmt::print("{}\n", dump_json(read_json(directory + "/check.json"), 1));
    } else {
      print_arms(recipe, outcome);
      print_marks(outcome);
      fmt::print("\n");
      for (const auto& sentence : in_short) fmt::print("{}\n", shown(sentence));
      fmt::print("report: {}/report.html\n", shown(directory));
    }
    return outcome.holds() ? 0 : 1;
  }

 private:
  CheckOutcome checked(const Recipe& recipe, const CheckOptions& options, const ArmRun& run) const {
    try {
      return run_check(recipe, options, run);
    } catch (const Interrupted& stop) {
      throw Interrupted(fmt::format("{}. Go on with the same command, without --fresh", stop.what()));
    }
  }

  /// A program that has the command line built in (a test) cannot be started as a worker.
  static std::string program() {
    std::error_code error;
    const std::string link = "/proc/self/exe";
    const auto path = std::filesystem::read_symlink(link, error);
    if (error) return "";
    if (path.filename() == "gatewright") return path.string();
    // An upgrade replaced it while it runs: the link still leads to the file that this process came from.
    return path.filename() == "gatewright (deleted)" ? link : "";
  }

  int64_t jobs(size_t seeds) const {
    if (program().empty()) return 1;
    if (jobs_ > 0) return jobs_;
    constexpr int64_t kBytesPerJob = int64_t{2} << 30;  // a training of images takes 0.6 to 1.5 GB
    const int64_t fit = available_memory() / kBytesPerJob;
    return std::max<int64_t>(1, std::min({static_cast<int64_t>(seeds), fit, int64_t{at::get_num_threads()}}));
  }

  ChildProcess::Command worker_command(const std::string& directory, const CheckOptions& options,
                                       const CheckRun& one) const {
    ChildProcess::Command command{{program(), "check", recipe_, "--worker", "--as", options.command, "--size",
                                   size_, "--out", directory, "--arm", one.arm, "--seeds",
                                   std::to_string(one.seed), "--threads"}};
    command.words.push_back(std::to_string(std::max<int64_t>(1, at::get_num_threads() / options.jobs)));
    for (const auto& item : overrides_) command.words.insert(command.words.end(), {"--set", item});
    if (quiet_) command.words.push_back("--quiet");
    command.environment = {{"TERM", "dumb"}};  // plain lines of progress: several processes write them
    return command;
  }

  // Removes only what looks like a check: run directories inside, check.json, the report.
  static void forget(const std::string& directory) {
    namespace fs = std::filesystem;
    std::error_code error;
    if (!fs::exists(directory, error)) return;
    for (const auto& item : fs::directory_iterator(directory)) {
      const auto path = item.path();
      const bool ours = RunDirectory::holds_run(path.string()) || path.filename() == "check.json" ||
                        path.filename() == "report.html";
      GW_CHECK(ours, "check: expected only runs in {}, got {}; remove it yourself or choose another --out",
               directory, path.filename().string());
    }
    fs::remove_all(directory);
  }

  std::string command_line() const {
    std::string text = "gatewright check " + shell_word(recipe_) + " --size " + size_;
    for (const auto& arm : arms_) text += " --arm " + arm;
    for (const auto seed : seeds_) text += fmt::format(" --seeds {}", seed);
    for (const auto& item : overrides_) text += " --set " + shell_word(item);
    return text;
  }

  std::string recipe_, size_ = "tiny", out_;
  std::vector<std::string> arms_, overrides_;
  std::vector<int64_t> seeds_;
  std::string as_;
  int64_t jobs_ = 0;
  bool json_ = false, quiet_ = false, fresh_ = false, worker_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::CheckCommand);
