#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/train/task.h"

namespace gw::inline train {
namespace {

/// One number for each row of a table.
/// Math:   mean square of the standardised errors; rmse is its root in deviations of the training rows'
///         response, so that predicting their mean gives about 1.
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

  std::map<std::string, double> measure(const Output&, const Batch&, double loss) const override {
    return {{"rmse", loss}};  // a mean square until `finish`
  }
  void finish(std::map<std::string, double>& metrics) const override {
    metrics["rmse"] = std::sqrt(metrics["rmse"]);
  }

  std::vector<std::string> measures() const override { return {"rmse"}; }
  std::string best_by() const override { return "rmse"; }
  bool more_is_better() const override { return false; }
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Task, gw::Regression);
