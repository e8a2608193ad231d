#include "gatewright/models/model.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <utility>

#include "gatewright/ops/cost.h"

namespace gw::inline models {
namespace {

bool belongs_to_router(const std::string& name) {
  return name.rfind("router.", 0) == 0 || name.find(".router.") != std::string::npos ||
         name.find(".gate.") != std::string::npos;
}

}  // namespace

DataSpec spec_of(const TaskData& data) {
  DataSpec spec;
  if (data.train.images) {
    const auto& shape = data.train.images->shape();
    spec.channels = shape.channels, spec.height = shape.height, spec.width = shape.width;
  } else if (const auto image = data.train.find("image"); image.defined()) {
    spec.channels = image.size(1), spec.height = image.size(2), spec.width = image.size(3);
  }
  if (const auto token = data.train.find("token"); token.defined()) spec.context = token.size(1);
  if (const auto source = data.train.find("source_token"); source.defined())
    spec.source_context = source.size(1);
  if (const auto x = data.train.find("x"); x.defined()) spec.inputs = x.size(1);
  const auto& common = data.train.common;
  if (common.count("x") > 0) spec.inputs = common.at("x").size(1);
  if (common.count("x") > 0 && common.count("edge") > 0)
    spec.degree = static_cast<double>(common.at("edge").size(1)) /
                  static_cast<double>(std::max<int64_t>(common.at("x").size(0), 1));
  spec.targets = data.targets;
  spec.numeric = data.numeric, spec.fields = data.fields;
  spec.vocabulary = data.vocabulary, spec.classes = data.classes;
  spec.domains = static_cast<int64_t>(data.domain_names.size());
  return spec;
}

std::vector<at::Tensor> Model::parameters_that(bool of_router) const {
  std::vector<at::Tensor> out;
  for (const auto& item : named_parameters()) {
    if (item.value().requires_grad() && belongs_to_router(item.key()) == of_router)
      out.push_back(item.value());
  }
  return out;
}

int64_t Model::parameter_count() const {
  int64_t count = 0;
  for (const auto& p : parameters()) count += p.numel();
  return count;
}

double Model::trained_share() const {
  int64_t learns = 0;
  for (const auto& parameter : parameters()) learns += parameter.requires_grad() ? parameter.numel() : 0;
  const auto all = parameter_count();
  return all > 0 ? static_cast<double>(learns) / static_cast<double>(all) : 0;
}

int64_t count_macs(Model& model) {
  const at::NoGradGuard no_grad;
  const ops::CostRecorder recorder;
  Pass pass;
  pass.train = false;
  model.answer(model.example(1, Rng(0)), pass);
  return recorder.macs();
}

}  // namespace gw::inline models
