#include <fmt/format.h>

#include "apps/cli/command.h"
#include "apps/cli/csv_flags.h"
#include "gatewright/base/file.h"
#include "gatewright/base/shown.h"
#include "gatewright/likelihood/predict_rows.h"

namespace gw {
namespace {

/// Predictions of a fitted mixture for the rows of a table.
class PredictCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Predict with a model of `gatewright fit`: means with intervals, gate probabilities, responsibilities.";

  const char* example() const override {
    return "gatewright predict iris.json examples/data/iris.csv --level 0.9 --out predicted.csv";
  }

  void declare(CLI::App& app) override {
    app.add_option("model", model_, "model file")->required();
    app.add_option("data", data_, "table with the model's inputs (.csv, .csv.gz)")->required();
    app.add_option("--level", level_, "probability of the interval for a new value")
        ->check(CLI::Range(0.01, 0.9999))
        ->capture_default_str();
    app.add_option("--missing", missing_, "rows with missing values: refuse or drop")
        ->check(CLI::IsMember({"refuse", "drop"}))
        ->capture_default_str();
    csv_.declare(app);
    app.add_flag("--explain", explain_, "the table has the response: add responsibilities and log densities");
    app.add_option("--out", out_, "CSV file; default: standard output");
  }

  int run() override {
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
  CsvFlags csv_;
  std::string model_, data_, missing_ = "refuse", out_;
  double level_ = 0.95;
  bool explain_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, PredictCommand);
