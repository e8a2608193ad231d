#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/train/task.h"

namespace gw::inline train {
namespace {

/// One number for each row of a table.
/// Math:   mean square of the standardised errors; rmse is its root in deviations of the training rows'
///         response, so that predicting their mean gives about 1; r2 = 1 − mean square error / variance of
///         the measured rows' responses, missing where those do not vary.
class Regression : public Task {
 public:
  static constexpr const char* kSummary =
      "one number for each row: root mean square error in deviations of the response";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {};

  Regression(const Options&, const Context&) {}

  std::vector<std::string> fields() const override { return {"y"}; }
  AnswerSpec answer(const DataSpec&) const override { return {1, false}; }

  at::Tensor loss(const Output& output, const Batch& batch) const override {
    return at::mse_loss(output.answer.squeeze(-1), batch.at("y"));
  }

  std::map<std::string, double> measure(const Output&, const Batch& batch, double loss) const override {
    const auto y = batch.at("y").to(at::kDouble);
    // Means over the rows until `finish`, which needs those of the whole set.
    return {{"rmse", loss}, {kMean, y.mean().item<double>()}, {kSquare, y.square().mean().item<double>()}};
  }
  void finish(std::map<std::string, double>& metrics) const override {
    const double variance = metrics[kSquare] - metrics[kMean] * metrics[kMean];
    metrics.erase(kSquare), metrics.erase(kMean);
    if (variance > 1e-12) metrics["r2"] = 1 - metrics["rmse"] / variance;
    metrics["rmse"] = std::sqrt(metrics["rmse"]);
  }

  std::vector<std::string> measures() const override { return {"rmse", "r2"}; }
  std::string best_by() const override { return "rmse"; }
  bool more_is_better() const override { return false; }

 private:
  static constexpr const char* kMean = "mean of y";
  static constexpr const char* kSquare = "mean square of y";
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Task, gw::Regression);
