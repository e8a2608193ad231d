#include <fmt/format.h>

#include <filesystem>

#include "apps/cli/command.h"
#include "apps/cli/csv_flags.h"
#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/shown.h"
#include "gatewright/likelihood/predict_rows.h"
#include "gatewright/runs/learned_model.h"

namespace gw {
namespace {

/// Predictions of a fitted mixture, or of a learned model, for the rows of a table.
class PredictCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Predict with a model file of `gatewright fit` (means with intervals, gate probabilities) or a folder "
      "of `gatewright learn` (values, or classes with probabilities).";

  const char* example() const override {
    return "gatewright predict iris.json examples/data/iris.csv --level 0.9 --out predicted.csv";
  }

  void declare(CLI::App& app) override {
    app.add_option("model", model_, "model file of fit, or folder of learn")->required();
    app.add_option("data", data_, "table with the model's inputs (.csv, .csv.gz)")->required();
    of_fit_.push_back(app.add_option("--level", level_, "probability of the interval for a new value")
                          ->check(CLI::Range(0.01, 0.9999))
                          ->capture_default_str());
    of_fit_.push_back(app.add_option("--missing", missing_, "rows with missing values: refuse or drop")
                          ->check(CLI::IsMember({"refuse", "drop"}))
                          ->capture_default_str());
    csv_.declare(app);
    of_fit_.push_back(app.add_flag("--explain", explain_,
                                   "the table has the response: add responsibilities and log densities"));
    app.add_option("--out", out_, "CSV file; default: standard output");
  }

  int run() override {
    if (std::filesystem::is_directory(model_)) return predict_learned();
    const auto model = likelihood::read_model(model_);
    const auto table = load_csv(data_, csv_.options());
    const auto predicted = likelihood::predict_rows(model, table, level_, missing_ == "drop", explain_);
    const auto text = likelihood::to_csv(predicted);
    if (out_.empty()) {
      fmt::print("{}", text);
    } else {
      write_atomic(out_, text);
      fmt::print("{} rows: {}\n", predicted.rows.size(), shown(out_));
    }
    if (predicted.dropped > 0) fmt::print(stderr, "{} rows left out: missing values\n", predicted.dropped);
    return 0;
  }

 private:
  int predict_learned() const {
    for (const auto* option : of_fit_) {
      GW_CHECK(
          option->count() == 0,
          "predict: expected no {} with a folder of `gatewright learn`, got it; it is for model files of "
          "`gatewright fit`",
          option->get_name());
    }
    const auto model = read_learned_model(model_);
    const auto table = load_csv(data_, csv_.options());
    PredictedTable told;
    if (out_.empty()) {
      told = predict_table(model, table, [](std::string_view text) { fmt::print("{}", text); });
    } else {
      write_atomic(out_, [&](FileWriter& file) {
        told = predict_table(model, table, [&](std::string_view text) { file.write(text); });
      });
      fmt::print("{} rows: {}\n", told.rows, shown(out_));
    }
    if (told.scored > 0) {
      fmt::print(stderr, "{} {:.4g} on the {} rows that have \"{}\"\n",
                 model.encoding.classes.empty() ? "root mean square error" : "accuracy", told.score,
                 told.scored, shown(model.encoding.response));
    }
    if (told.unseen_classes > 0)
      fmt::print(stderr, "{} of them are of a class that training never saw, which no answer can name\n",
                 told.unseen_classes);
    return 0;
  }

  std::vector<const CLI::Option*> of_fit_;
  CsvFlags csv_;
  std::string model_, data_, missing_ = "refuse", out_;
  double level_ = 0.95;
  bool explain_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, PredictCommand);
