#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/data/loader.h"
#include "gatewright/models/image_varier.h"
#include "gatewright/runs/measured_arm.h"
#include "gatewright/train/variations.h"

namespace gw::inline runs {
namespace {

constexpr int64_t kPass = 256;

ImageVarier& varier_of(Trainer& trained) {
  auto* varier = dynamic_cast<ImageVarier*>(&trained.model());
  GW_CHECK(varier != nullptr,
           "arms/image_variations: expected a network that varies images, such as denoiser, got another");
  return *varier;
}

/// Synthetic variations of every training image of a network that makes them (`from`, the first arm), written
/// where trainings find them (variations = {arm = …}). The second arm of `from`, where there is one, is a
/// classifier that says how alike image and variation are.
/// Leaves the metrics mean_change (mean distance of a pixel, brightness in [0, 1]); with a classifier
/// agreement (share of the variations that get the class of their image) and, of poisoned images,
/// trigger_seen and trigger_kept: the share of them, and of their variations, that get the attacker's class.
/// Source: Struppek et al. 2023, arXiv 2310.06372; differs: there a large diffusion model, trained beforehand
///         on other images, makes them; here a small network that was trained on these images itself, the
///         poisoned ones included, and which must leave out by its own means what only few images have.
/// Errors: ValueError for anything but one or two trainings to start from, and for a network that does not
///         vary images.
/// Cost:   `copies` passes over the training images; nothing is kept of an interrupted run.
class ImageVariationsArm : public Arm {
 public:
  static constexpr const char* kSummary = "synthetic variations of the training images, for other trainings";
  static constexpr const char* kSource = "after Struppek et al. 2023, arXiv 2310.06372";
  struct Variations : OptionSet {
    int64_t copies = 1;
    void fields(OptionVisitor& v) override {
      v.integer("copies", copies, "variations of each image", 1, 1000);
    }
  };
  /// What a training has is read and left aside, so that a recipe's defaults may stand.
  struct Options : TrainConfig {
    Nested<Variations> image_variations;
    void fields(OptionVisitor& v) override {
      TrainConfig::fields(v);
      v.table("image_variations", image_variations, "how many");
    }
  };

  ImageVariationsArm(const Options& options, const Context&)
      : options_(options), how_(*options.image_variations) {}

  void validate(const std::vector<const Arm*>& from) const override {
    const bool trainings = std::all_of(from.begin(), from.end(), [](const Arm* arm) { return trains(*arm); });
    GW_CHECK(trainings && (from.size() == 1 || from.size() == 2),
             "arms/image_variations: expected a training that makes variations, and then a classifier if it "
             "pleases, in \"from\" of arm \"{}\", got {} arms{}",
             options_.arm, from.size(), trainings ? "" : ", not all of them trainings");
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>& from) const override {
    auto how = how_;
    auto table = measured_table(options_, "image_variations", how);
    for (const auto& source : from) table["start"][source.arm] = start_checksum(source);
    return run_measured(table, run, [&](ArmResult& result) {
      const auto maker = open_trained(from.at(0));
      const auto& train = maker->data().train;
      const auto images = varied(*maker, run);
      const auto source = at::arange(train.size(), at::kLong).repeat({how_.copies});
      save_variations(run.directory + "/" + kVariationsFile, train, images, source);
      auto rows = train.rows(source);
      result.metrics["mean_change"] =
          (images.to(at::kFloat) - rows.at("image").to(at::kFloat)).abs().mean().item<double>() / 255;
      if (from.size() < 2) return;
      const auto judge = open_trained(from[1]);
      const auto tick = stopping(run, "comparing");
      const auto before = answers_to(judge->model(), train, tick).argmax(1).repeat({how_.copies});
      rows.fields["image"] = images;
      const auto after = answers_to(judge->model(), rows, tick).argmax(1);
      compare(rows, before, after, result);
    });
  }

  LeftNames leaves() const override {
    return {{"mean_change", "agreement", "trigger_seen", "trigger_kept"}, {}, {}, {kVariationsFile}};
  }

  ResultTable shown() const override {
    using Shown = ResultColumn::Shown;
    return {{{"mean change of a pixel", "mean_change", Shown::kNumber, "{:.3f}"},
             {"same class %", "agreement", Shown::kPercent},
             {"trigger seen %", "trigger_seen", Shown::kPercent},
             {"in variations %", "trigger_kept", Shown::kPercent}}};
  }

 private:
  at::Tensor varied(Trainer& maker, const ArmRun& run) const {
    const at::NoGradGuard no_grad;
    auto& varier = varier_of(maker);
    const auto tick = stopping(run, "making variations");
    const Rng rng = Rng(static_cast<uint64_t>(options_.seed)).fork("arms/image_variations");
    TensorSet only;
    only.fields["image"] = maker.data().train.at("image");
    const Loader loader(only, kPass, {}, false, rng);
    std::vector<at::Tensor> made;
    for (int64_t copy = 0; copy < how_.copies; ++copy) {
      const auto draws = rng.fork("copy", static_cast<uint64_t>(copy));
      for (int64_t b = 0; b < loader.batches(); ++b) {
        tick(b, loader.batches());
        const auto image =
            varier.vary(loader.get(0, b).at("image"), draws.fork("batch", static_cast<uint64_t>(b)));
        made.push_back((image.clamp(0, 1) * 255).round().to(at::kByte).contiguous());
      }
    }
    return at::cat(made);
  }

  static void compare(const TensorSet& rows, const at::Tensor& before, const at::Tensor& after,
                      ArmResult& result) {
    const auto share = [](const at::Tensor& yes) { return yes.to(at::kDouble).mean().item<double>(); };
    result.metrics["agreement"] = share(before.eq(after));
    const auto poisoned = rows.find("poisoned");
    if (!poisoned.defined()) return;
    const auto& label = rows.at("label");  // of poisoned images the attacker's
    result.metrics["trigger_seen"] = share(before.eq(label).masked_select(poisoned));
    result.metrics["trigger_kept"] = share(after.eq(label).masked_select(poisoned));
  }

  Options options_;
  Variations how_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::ImageVariationsArm);
