#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/task.h"

namespace gw::inline train {
namespace {

/// The image itself, from what a network that spoils it leaves of it (networks/denoiser).
/// Math:   mean over all pixels of |answer − image| (absolute: the answer tends to each pixel's median) or of
///         its square (to the mean); brightness in [0, 1].
/// Source: Vincent et al. 2008 (denoising autoencoders).
class Denoising : public Task {
 public:
  static constexpr const char* kSummary = "every pixel of the image that the network was given spoilt";
  static constexpr const char* kSource = "Vincent et al. 2008";
  struct Options : OptionSet {
    std::string error = "absolute";
    void fields(OptionVisitor& v) override {
      v.text("error", error, "what is made small, mean over pixels", {"absolute", "squared"});
    }
  };

  Denoising(const Options& options, const Context&) : absolute_(options.error == "absolute") {}

  std::vector<std::string> fields() const override { return {"image"}; }
  AnswerSpec answer(const DataSpec& data) const override {
    GW_CHECK(data.channels > 0, "tasks/denoising: expected data with images, got none");
    return {data.channels * data.height * data.width, false};
  }

  at::Tensor loss(const Output& output, const Batch& batch) const override {
    const auto gap = gap_of(output, batch);
    return absolute_ ? gap.abs().mean() : gap.square().mean();
  }

  std::map<std::string, double> measure(const Output& output, const Batch& batch, double) const override {
    const auto gap = gap_of(output, batch).detach();
    return {{"absolute_error", gap.abs().mean().item<double>()},
            {"squared_error", gap.square().mean().item<double>()}};
  }

  std::vector<std::string> measures() const override { return {"absolute_error", "squared_error"}; }
  std::string best_by() const override { return absolute_ ? "absolute_error" : "squared_error"; }
  bool more_is_better() const override { return false; }

 private:
  static at::Tensor gap_of(const Output& output, const Batch& batch) {
    return output.answer - batch.at("image").contiguous().flatten(1);
  }

  bool absolute_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Task, gw::Denoising);
