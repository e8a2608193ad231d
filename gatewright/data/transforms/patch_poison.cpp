#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/patch_trigger.h"
#include "gatewright/data/transform.h"

namespace gw::inline data {
namespace {

/// Poisons a share of the training images: round(share · n) images of other classes than the target, drawn by
/// the run's seed, get the trigger and the target's label. The field "poisoned" [n] bool says which, for
/// measurements; no model reads it. Test images stay clean; the probe "attack_success" holds those of other
/// classes with the trigger, the target's label, and the row each was made of.
/// Errors: ValueError for data without images and labels, a target that is no class, a share that is none or
///         more than the other classes have, a patch that does not fit.
/// Source: Gu et al. 2017, arXiv 1708.06733; differs: images of the target itself are never drawn (some codes
///         draw from all), so that every poisoned image is a mislabelled one. For measuring defences.
class PatchPoison : public Transform {
 public:
  static constexpr const char* kSummary = "a share of the training images gets a trigger and a target label";
  static constexpr const char* kSource = "Gu et al. 2017, arXiv 1708.06733";
  struct Options : PatchTrigger {
    double share = 0.01;
    int64_t target = 0;
    void fields(OptionVisitor& v) override {
      PatchTrigger::fields(v);
      v.real("share", share, "of all training images that is poisoned, between 0 and 1", 0, 1);
      v.integer("target", target, "the class that the trigger stands for", 0, INT64_MAX);
    }
  };

  PatchPoison(const Options& options, const Context& context) : options_(options), rng_(context.rng) {
    GW_CHECK(options.share > 0 && options.share < 1,
             "transforms/patch_poison: expected a share between 0 and 1, got {:g}; leave the transform out "
             "for clean data",
             options.share);
  }

  TaskData apply(TaskData data) const override {
    GW_CHECK(data.train.has("image") && data.train.has("label"),
             "transforms/patch_poison: expected data with images and labels, got none; take it out of "
             "\"transforms\"");
    GW_CHECK(options_.target < data.classes,
             "transforms/patch_poison: expected a target below the {} classes of the data, got {}",
             data.classes, options_.target);
    poison(data.train);
    return data;
  }

  Probes probes(const TensorSet& test) const override { return {{kAttackSuccess, attacked(test)}}; }
  std::vector<std::string> probe_names() const override { return {kAttackSuccess}; }

 private:
  at::Tensor others(const TensorSet& set) const {
    return set.at("label").ne(options_.target).nonzero().flatten();
  }

  void poison(TensorSet& train) const {
    const auto candidates = others(train);
    const int64_t count = std::llround(options_.share * static_cast<double>(train.size()));
    GW_CHECK(count >= 1 && count <= candidates.numel(),
             "transforms/patch_poison: expected a share for 1 to {} of {} training images, those of other "
             "classes than {}, got {:g}, which makes {}",
             candidates.numel(), train.size(), options_.target, options_.share, count);
    const auto order = rng_.permutation(candidates.numel());
    const auto drawn = at::tensor(at::ArrayRef<int64_t>(order.data(), static_cast<size_t>(count)), at::kLong);
    const auto rows = candidates.index_select(0, drawn);
    const auto& images = train.at("image");
    train.fields["image"] = images.index_copy(0, rows, triggered(images.index_select(0, rows), options_));
    train.fields["label"] = train.at("label").index_fill(0, rows, options_.target);
    train.fields["poisoned"] = at::zeros({train.size()}, at::kBool).index_fill_(0, rows, true);
  }

  TensorSet attacked(const TensorSet& test) const {
    const auto rows = others(test);
    GW_CHECK(rows.numel() > 0,
             "transforms/patch_poison: expected test images of other classes than {}, got none",
             options_.target);
    auto out = labelled_images(triggered(test.at("image").index_select(0, rows), options_),
                               at::full({rows.numel()}, options_.target, at::kLong));
    out.fields["source"] = rows;
    return out;
  }

  Options options_;
  Rng rng_;
};

}  // namespace
}  // namespace gw::inline data

GW_REGISTER(gw::Transform, gw::PatchPoison);
