#include "gatewright/base/registry.h"
#include "gatewright/train/gradient_learner.h"

namespace gw::inline train {
namespace {

/// Steps of the objective with every window, and nothing else: what a learner that knows of drift is
/// compared with.
class Online : public GradientLearner {
 public:
  static constexpr const char* kSummary = "steps of the objective with every window, and nothing else";
  static constexpr const char* kSource = "";
  struct Options : GradientLearnerOptions {};
  Online(const Options& options, const Context&) : GradientLearner(options) {}
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Learner, gw::Online);
