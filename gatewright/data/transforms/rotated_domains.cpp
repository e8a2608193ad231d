#include <ATen/ATen.h>
#include <fmt/format.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/transform.h"
#include "gatewright/data/users.h"

namespace gw::inline data {
namespace {

/// Every image is turned by one of a few angles, drawn evenly, which is its domain: tasks that share their
/// labels and differ in what they see.
/// Math:   the image of domain d is turned counter-clockwise by angles[d] about its middle (`distorted`).
/// Fields: "image" as before, "domain" [n] int64 is added, in the training set and in the test.
/// Errors: ValueError for data without images, and for data that have domains already.
class RotatedDomains : public Transform {
 public:
  static constexpr const char* kSummary = "every image is turned by one of a few angles, its domain";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    std::vector<double> angles = {0, 45, 90};
    void fields(OptionVisitor& v) override {
      v.reals("angles", angles, "degrees, counter-clockwise; a domain each", -360, 360);
    }
  };

  RotatedDomains(const Options& options, const Context& context) : options_(options), rng_(context.rng) {
    GW_CHECK(!options.angles.empty(), "transforms/rotated_domains: expected at least one angle, got none");
  }

  TaskData apply(TaskData data) const override {
    GW_CHECK(
        data.train.has("image") && data.test.has("image"),
        "transforms/rotated_domains: expected data with images, got none; take it out of \"transforms\"");
    GW_CHECK(data.domain_names.empty() && !data.train.has("domain"),
             "transforms/rotated_domains: expected data without domains, got {}", data.domain_names.size());
    turn(data.train, rng_.fork("train"));
    turn(data.test, rng_.fork("test"));
    for (const double angle : options_.angles)
      data.domain_names.push_back(fmt::format("turned by {:g}", angle));
    return data;
  }

 private:
  void turn(TensorSet& set, const Rng& rng) const {
    const auto count = static_cast<int64_t>(options_.angles.size());
    const auto places = rng.permutation(set.size());
    const auto domain = at::empty({set.size()}, at::kLong);
    for (int64_t i = 0; i < set.size(); ++i) domain[places[static_cast<size_t>(i)]] = i % count;
    const auto& images = set.at("image");
    auto turned = images.clone();
    for (int64_t d = 0; d < count; ++d) {
      const auto rows = domain.eq(d).nonzero().flatten();
      const double angle = options_.angles[static_cast<size_t>(d)];
      if (angle != 0 && rows.numel() > 0)
        turned.index_copy_(0, rows, distorted(images.index_select(0, rows), angle, 0));
    }
    set.fields["image"] = turned, set.fields["domain"] = domain;
  }

  Options options_;
  Rng rng_;
};

}  // namespace
}  // namespace gw::inline data

GW_REGISTER(gw::Transform, gw::RotatedDomains);
