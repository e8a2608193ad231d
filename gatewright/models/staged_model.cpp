#include "gatewright/models/staged_model.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/models/staged.h"

namespace gw::inline models {
namespace {

/// at::index_select would turn channels-last maps round, value by value, and the next convolution would turn
/// them back.
at::Tensor rows_as_they_lie(const at::Tensor& x, const at::Tensor& which) {
  if (x.dim() != 4 || !x.is_contiguous(at::MemoryFormat::ChannelsLast)) return x.index_select(0, which);
  return x.permute({0, 2, 3, 1}).index_select(0, which).permute({0, 3, 1, 2});
}

class StagedNetwork : public StagedModel {
 public:
  explicit StagedNetwork(std::shared_ptr<Network> network)
      : network_(std::move(network)), stages_(*network_) {}
  int64_t stages() const override { return stages_.count(); }
  StageRows begin(const Batch& batch) override { return {batch.at("image"), {}}; }
  StageRows stage(int64_t index, const StageRows& rows) override {
    return {stages_.stage(index, rows.x), {}};
  }
  at::Tensor finish(const StageRows& rows) override { return stages_.finish(rows.x); }
  at::Tensor means(const StageRows& rows) override { return rows.x.mean({2, 3}); }

 private:
  std::shared_ptr<Network> network_;
  NetworkStages stages_;
};

}  // namespace

StageRows StageRows::at(const at::Tensor& which) const {
  StageRows out{rows_as_they_lie(x, which), {}};
  if (!told.fields.empty()) out.told = told.rows(which);
  return out;
}

std::shared_ptr<StagedModel> stages_of(const std::shared_ptr<Model>& model) {
  if (auto network = std::dynamic_pointer_cast<Network>(model))
    return std::make_shared<StagedNetwork>(std::move(network));
  auto staged = std::dynamic_pointer_cast<StagedModel>(model);
  GW_CHECK(staged != nullptr,
           "stages: expected an image network of the zoo or a model of tokens with stages, got another; take "
           "image or token_mixer");
  return staged;
}

}  // namespace gw::inline models
