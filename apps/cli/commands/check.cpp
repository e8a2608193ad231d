#include "gatewright/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/provenance.h"
#include "apps/cli/recipes.h"
#include "apps/cli/signals.h"
#include "apps/cli/table.h"
#include "gatewright/base/shown.h"
#include "gatewright/report/html.h"
#include "gatewright/report/write_report.h"
#include "gatewright/runs/check_run.h"
#include "gatewright/runs/run_directory.h"

namespace gw {
namespace {

std::string cell(const CheckOutcome& outcome, const std::string& arm, const ResultColumn& column,
                 const std::string& quantity) {
  auto metric = column.metric;
  if (const auto star = metric.find('*'); star != std::string::npos) metric.replace(star, 1, quantity);
  const auto s = spread(outcome.results, arm, metric);
  if (s.count == 0) return "–";
  switch (column.shown) {
    case ResultColumn::Shown::kMacs:
      return format_value(s.mean, Unit::kMacs);
    case ResultColumn::Shown::kPercent:
      return s.count == 1 ? fmt::format("{:.1f}", 100 * s.mean)
                          : fmt::format("{:.1f} ± {:.1f}", 100 * s.mean, 100 * s.deviation);
    case ResultColumn::Shown::kNumber:
      break;
  }
  return fmt::format(fmt::runtime(column.format), s.mean);
}

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
    app.add_flag("--json", json_, "print check.json");
    app.add_flag("--quiet", quiet_, "no progress");
  }

  int run() override {
    catch_signals();
    const auto recipe = load_recipe(recipe_, recipe_folders());
    const auto directory = out_.empty() ? fmt::format("runs/check-{}-{}", recipe.name, size_) : out_;
    if (fresh_) forget(directory);
    CheckOptions options{size_, arms_, seeds_, overrides_, command_line(), machine_text(), today()};
    ArmRun run{directory, false, &stop_requested(), quiet_ ? nullptr : stderr, steady_now_s, wall_now_s};
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

  /// Every arm's results in the columns that it declares; arms of equal columns share a table.
  static void print_arms(const Recipe& recipe, const CheckOutcome& outcome) {
    std::vector<ResultTable> printed;
    for (const auto& arm : recipe.arms) {
      const auto table = outcome.shown.find(arm);
      if (table == outcome.shown.end()) continue;
      const auto same = [&](const ResultTable& t) { return t.columns == table->second.columns; };
      if (std::any_of(printed.begin(), printed.end(), same)) continue;
      printed.push_back(table->second);
      print_table(recipe, outcome, table->second);
    }
  }

  static void print_table(const Recipe& recipe, const CheckOutcome& outcome, const ResultTable& of) {
    std::vector<std::vector<std::string>> rows{{"arm"}};
    if (!of.quantities.empty()) rows[0].push_back("quantity");
    for (const auto& column : of.columns) rows[0].push_back(">" + column.heading);
    for (const auto& arm : recipe.arms) {
      const auto table = outcome.shown.find(arm);
      if (table == outcome.shown.end() || table->second.columns != of.columns) continue;
      auto quantities = table->second.quantities;
      const bool one = quantities.empty();
      if (one) quantities.push_back("");
      for (const auto& quantity : quantities) {
        std::vector<std::string> row{arm_title(recipe, arm)};
        if (!one) row.push_back(quantity);
        const size_t names = row.size();
        for (const auto& column : of.columns) row.push_back(cell(outcome, arm, column, quantity));
        const bool measured = std::any_of(row.begin() + static_cast<std::ptrdiff_t>(names), row.end(),
                                          [](const std::string& text) { return text != "–"; });
        if (measured) rows.push_back(std::move(row));
      }
    }
    if (rows.size() > 1) fmt::print("\n{}{}{}\n", format_table(rows), of.note, of.note.empty() ? "" : "\n");
  }

  static void print_marks(const CheckOutcome& outcome) {
    std::vector<std::vector<std::string>> rows{{"claim", "mark", ">measured", "over seeds", "verdict"}};
    for (const auto& run : outcome.failed) {
      const auto [claim, mark, measured, verdict] = run.line();
      rows.push_back({claim, mark, measured, "", verdict});
    }
    for (const auto& m : outcome.marks) {
      rows.push_back({m.mark.claim, fmt::format("{} {}", m.mark.name, bound_text(m.mark)), measured_text(m),
                      seeds_text(m), verdict_text(m)});
    }
    for (const auto& m : outcome.unjudged) {
      if (m.seeds == 0) continue;
      rows.push_back({m.mark.claim, fmt::format("{} {}", m.mark.name, bound_text(m.mark)), measured_text(m),
                      seeds_text(m), "not judged at this size"});
    }
    fmt::print("{}", format_table(rows));
    for (const auto& run : outcome.failed)
      if (run.what == "failed") fmt::print("{} seed {}: {}\n", run.arm, run.seed, shown(run.why));
  }

  std::string recipe_, size_ = "tiny", out_;
  std::vector<std::string> arms_, overrides_;
  std::vector<int64_t> seeds_;
  bool json_ = false, quiet_ = false, fresh_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::CheckCommand);
