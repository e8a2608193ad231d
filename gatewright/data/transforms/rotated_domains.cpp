#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/transform.h"

namespace gw::inline data {
namespace {

/// Every image is turned by one of a few angles, drawn evenly, which is its domain: tasks that share their
/// labels and differ in what they see. Math:   the image of domain d is turned counter-clockwise by angles[d]
/// about its middle, bilinear, 0 outside. Fields: "image" as before, "domain" [n] int64 is added, in the
/// training set and in the test. Errors: ValueError for data without images, and for data that have domains
/// already. Source: the shifted tasks of adapters' tests; rotations as in Liu and Luo 2024's acceptance here,
/// ours.
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
      turned.index_copy_(0, rows,
                         rotated(images.index_select(0, rows), options_.angles[static_cast<size_t>(d)]));
    }
    set.fields["image"] = turned, set.fields["domain"] = domain;
  }

  static at::Tensor rotated(const at::Tensor& images, double degrees) {
    if (degrees == 0 || images.size(0) == 0) return images;
    const double a = degrees * M_PI / 180, h = static_cast<double>(images.size(2)),
                 w = static_cast<double>(images.size(3));
    // Coordinates run from −1 to 1 along each side, so sides that differ enter as a ratio.
    const auto turn =
        at::tensor({std::cos(a), -std::sin(a) * h / w, 0.0, std::sin(a) * w / h, std::cos(a), 0.0},
                   at::kFloat)
            .view({1, 2, 3})
            .expand({images.size(0), 2, 3});
    const auto grid = at::affine_grid_generator(turn, images.sizes(), /*align_corners=*/false);
    const auto out = at::grid_sampler(images.to(at::kFloat), grid, /*bilinear*/ 0, /*zeros*/ 0,
                                      /*align_corners=*/false);
    return images.scalar_type() == at::kByte ? out.round().clamp(0, 255).to(at::kByte)
                                             : out.to(images.scalar_type());
  }

  Options options_;
  Rng rng_;
};

}  // namespace
}  // namespace gw::inline data

GW_REGISTER(gw::Transform, gw::RotatedDomains);
