#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/experts/traits.h"
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
  struct Options : NetworkOptions {
    std::string precision = "f32";
    void fields(OptionVisitor& v) override {
      NetworkOptions::fields(v);
      v.text("precision", precision, "in which experts compute: f32 only", {"f32", "bf16"});
    }
  };

  Image(const Options& options, const Context& context)
      : Network(seeded(options, context.seed), context.data.channels, context.data.height, context.data.width,
                context.answer.width) {
    GW_CHECK(
        options.precision == "f32",
        "networks/image: expected precision = \"f32\", got \"{}\": its routed convolutions do not have the "
        "trait \"{}\"",
        options.precision, kComputesInBf16);
    GW_CHECK(!context.answer.per_token,
             "networks/image: expected a task with one answer for each image, got one for each token");
  }
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::Image);
