#include <ATen/ATen.h>

#include <map>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/task.h"

namespace gw::inline train {
namespace {

/// One class for each example: of a sequence, of a row of a table, of an image where no attack is asked for.
/// Math:   cross-entropy in nats, mean over the batch. It chooses the checkpoint too: the accuracy on a small
///         validation set reaches its best value early and stands still while the answers still get better.
class Classification : public Task {
 public:
  static constexpr const char* kSummary = "one class for each example: accuracy, cross-entropy";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {};

  Classification(const Options&, const Context&) {}

  std::vector<std::string> fields() const override { return {"label"}; }
  AnswerSpec answer(const DataSpec& data) const override {
    GW_CHECK(data.classes >= 2, "tasks/classification: expected data of at least 2 classes, got {}",
             data.classes);
    return {data.classes, false};
  }

  at::Tensor loss(const Output& output, const Batch& batch) const override {
    return at::cross_entropy_loss(output.answer, batch.at("label"));
  }

  std::map<std::string, double> measure(const Output& output, const Batch& batch,
                                        double loss) const override {
    const auto right = output.answer.detach().argmax(-1).eq(batch.at("label"));
    return {{"accuracy", right.to(at::kDouble).mean().item<double>()}, {"cross_entropy", loss}};
  }

  std::vector<std::string> measures() const override { return {"accuracy", "cross_entropy"}; }
  std::string best_by() const override { return "cross_entropy"; }
  bool more_is_better() const override { return false; }
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Task, gw::Classification);
