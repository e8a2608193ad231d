#include "gatewright/runs/learn.h"

#include <fmt/format.h>

#include <filesystem>

#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/csv_flags.h"
#include "apps/cli/signals.h"
#include "apps/cli/table.h"
#include "gatewright/base/shown.h"

namespace gw {
namespace {

constexpr size_t kShownInputs = 12;
constexpr size_t kShownGroups = 12;
constexpr size_t kShownPairs = 8;

/// From a table to a trained mixture with held-out scores.
class LearnCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Learn to predict a column of a table: a trained mixture, held-out scores, what matters, who served "
      "whom.";

  const char* example() const override {
    return "gatewright learn examples/data/iris.csv --target species --out iris-model";
  }

  void declare(CLI::App& app) override {
    std::string models;
    for (const auto& [name, what] : learn_models())
      models += (models.empty() ? "" : "; ") + name + ": " + what;
    app.add_option("data", request_.path, "table with a header (.csv, .csv.gz)")->required();
    app.add_option("--target", request_.response, "column to predict")->required();
    app.add_option("--model", request_.model, models)->capture_default_str();
    app.add_option("--out", request_.directory, "folder for the model; default: <table>-model")
        ->check(not_empty);
    app.add_option("--task", request_.target,
                   "class, number, or auto: text and few whole numbers are classes")
        ->check(CLI::IsMember({"auto", "class", "number"}))
        ->capture_default_str();
    app.add_option("--inputs", request_.inputs, "columns to predict from; default: all others");
    app.add_option("--exclude", request_.exclude, "columns to leave out");
    app.add_option("--factor", request_.factors, "columns of numbers to be taken as factors");
    app.add_option_function<double>(
           "--test-share", [this](double share) { request_.test_share = share, request_.most_test = 0; },
           fmt::format("rows held out for the scores; default: {:g}, at most {} rows", request_.test_share,
                       request_.most_test))
        ->check(CLI::Range(0.01, 0.9));
    app.add_option("--epochs", request_.epochs, "most passes over the rows; default: by their number")
        ->check(above_zero);
    app.add_option("--patience", request_.patience,
                   "epochs without a better validation that end the training; default: by the rows")
        ->check(above_zero);
    app.add_option("--seconds", request_.seconds,
                   "of training at most, in place of --epochs; such a run does not repeat bit for bit")
        ->check(above_zero);
    app.add_option("--shuffles", request_.repeats, "of each input for its importance; 0: none")
        ->check(at_least_zero)
        ->capture_default_str();
    app.add_option("--seed", request_.seed, "of split, weights and draws")
        ->check(at_least_zero)
        ->capture_default_str();
    csv_.declare(app);
    app.add_flag("--json", json_, "print JSON");
    app.add_flag("--quiet", quiet_, "no progress");
  }

  int run() override {
    catch_signals();
    for (auto* names : {&request_.inputs, &request_.exclude, &request_.factors}) split_names(*names);
    request_.csv = csv_.options();
    if (request_.directory.empty()) request_.directory = default_folder();
    const auto outcome = learn_table(request_, {quiet_ ? nullptr : stderr, &stop_requested(), steady_now_s});
    if (json_) {
      Json json = to_json(outcome);
      json["model"] = request_.directory;
      fmt::print("{}\n", dump_json(json, 1));
      return 0;
    }
    print_rows(outcome);
    print_scores(outcome);
    print_importance(outcome);
    print_experts(outcome);
    print_pairs(outcome);
    for (const auto& note : outcome.notes) fmt::print("note: {}\n", note);
    fmt::print("model: {}\npredict with: gatewright predict {} TABLE.csv\n", shown(request_.directory),
               shell_word(request_.directory));
    return 0;
  }

 private:
  /// "data/iris.csv.gz" → "iris-model", here.
  std::string default_folder() const {
    auto name = std::filesystem::path(request_.path).filename();
    if (name.extension() == ".gz") name = name.stem();
    return name.stem().string() + "-model";
  }

  static void print_rows(const LearnOutcome& o) {
    const auto& classes = o.encoding.classes;
    fmt::print("{}: {} ({})\n", shown(o.encoding.response),
               classes.empty() ? "a number" : fmt::format("{} classes", classes.size()), o.reason);
    fmt::print("{} rows to train on, {} to validate, {} to test{}; {} inputs, {} parameters, {} epochs\n\n",
               o.train, o.validation, o.test,
               o.without_response > 0 ? fmt::format(", {} left out: no response", o.without_response) : "",
               o.encoding.columns.size(), o.parameters, o.epochs);
  }

  static void print_scores(const LearnOutcome& o) {
    std::vector<std::vector<std::string>> rows{{"on the test rows", ">value", ">95 % from", ">to"}};
    for (const auto& s : o.scores) {
      rows.push_back({words(s.name), fmt::format("{:.4g}", s.value), fmt::format("{:.4g}", s.low),
                      fmt::format("{:.4g}", s.high)});
    }
    fmt::print("{}\n", format_table(rows));
  }

  static void print_importance(const LearnOutcome& o) {
    if (o.importance.empty()) return;
    const char* what = o.encoding.classes.empty() ? ">rmse gained" : ">accuracy lost";
    std::vector<std::vector<std::string>> rows{{"input, shuffled", what, ">deviation"}};
    for (const auto& i : o.importance) {
      if (rows.size() > kShownInputs) break;
      rows.push_back({shown(i.name, 40), fmt::format("{:.4f}", i.loss), fmt::format("{:.4f}", i.error)});
    }
    fmt::print("{}", format_table(rows));
    if (o.importance.size() > kShownInputs)
      fmt::print("and {} more (--json)\n", o.importance.size() - kShownInputs);
    fmt::print("\n");
  }

  static void print_experts(const LearnOutcome& o) {
    const auto& use = o.experts;
    if (use.groups.empty()) return;
    std::vector<std::vector<std::string>> rows{{shown(o.encoding.response, 40), ">rows"}};
    for (size_t e = 0; e < use.weight.front().size(); ++e) rows[0].push_back(fmt::format(">E{}", e));
    for (size_t g = 0; g < use.groups.size() && g < kShownGroups; ++g) {
      rows.push_back({shown(use.groups[g], 40), std::to_string(use.rows[g])});
      for (const double w : use.weight[g]) rows.back().push_back(fmt::format("{:.2f}", w));
    }
    fmt::print("mean weight of the experts\n{}", format_table(rows));
    if (use.groups.size() > kShownGroups)
      fmt::print("and {} more (--json)\n", use.groups.size() - kShownGroups);
    fmt::print("\n");
  }

  static void print_pairs(const LearnOutcome& o) {
    if (o.pairs.empty()) return;
    std::vector<std::vector<std::string>> rows{{"inputs that act together", "", ">together", ">attention"}};
    for (const auto& p : o.pairs) {
      if (rows.size() > kShownPairs) break;
      rows.push_back({shown(p.first, 40), shown(p.second, 40), fmt::format("{:.3g}", p.together),
                      fmt::format("{:.3f}", p.attention)});
    }
    fmt::print("{}\n", format_table(rows));
  }

  LearnRequest request_;
  CsvFlags csv_;
  bool json_ = false, quiet_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, LearnCommand);
