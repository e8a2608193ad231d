#include <ATen/ATen.h>

#include "base/registry.h"
#include "train/objective.h"

namespace gw {
namespace {

/// Plain cross-entropy on clean images.
class Natural : public Objective {
 public:
  static constexpr const char* kSummary = "cross-entropy on clean images";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {};

  Natural(const Options&, const Context&) {}

  StepReport step(StepContext& c) override {
    const auto out = c.network.forward(c.batch.images, drawing_from(c.rng));
    const auto loss = at::cross_entropy_loss(out.logits, c.batch.labels);
    c.experts.step(parameter_gradients(loss, c.experts.values(), "loss"), c.lr);
    StepReport report;
    report.values = {{"loss", loss.item<double>()}, {"clean_accuracy", accuracy(out.logits, c.batch.labels)}};
    report.load = first_load(out);
    return report;
  }
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Objective, gw::Natural);
