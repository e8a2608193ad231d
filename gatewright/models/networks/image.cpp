#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/network.h"

namespace gw::inline models {
namespace {

NetworkOptions seeded(NetworkOptions options, uint64_t seed) {
  options.seed = static_cast<int64_t>(seed);
  return options;
}

/// A backbone of the zoo with its routers (gatewright/models/network.h), for one class per image.
class Image : public Network {
 public:
  static constexpr const char* kSummary =
      "a convolutional backbone, dense or with routed convolutions: images";
  static constexpr const char* kSource = "Zhang et al. 2023, arXiv 2308.10110";
  using Options = NetworkOptions;

  Image(const Options& options, const Context& context)
      : Network(seeded(options, context.seed), context.data.channels, context.data.height, context.data.width,
                context.answer.width) {
    GW_CHECK(!context.answer.per_token,
             "networks/image: expected a task with one answer for each image, got one for each token");
  }
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::Image);
