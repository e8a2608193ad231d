#include "gatewright/train/convert.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <memory>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/experts/bank.h"

namespace gw::inline train {
namespace {

Json bank_with(const Json& bank, const ConvertOptions& options) {
  const auto chosen = part_choice("bank", bank);
  GW_CHECK(chosen.name == "mlp", "convert: expected experts of banks/mlp, got banks/{}", chosen.name);
  Json table = chosen.options;
  const auto before = table.value("weights", "f32");
  GW_CHECK(before == "f32", "convert: expected weights of f32, got {}: the model is converted already",
           before);
  table["part"] = "mlp", table["weights"] = options.weights, table["group"] = options.group;
  return table;
}

}  // namespace

TrainConfig converted_config(const TrainConfig& config, const ConvertOptions& options) {
  auto network = config.network.json();
  GW_CHECK(
      network.contains("mixture"),
      "convert: expected a model with layers of gw::Mixture (token_mixer, tabular), got networks/{}; the "
      "routed convolutions of image networks stay in f32",
      network.value("part", "image"));
  auto& mixture = network["mixture"];
  mixture["bank"] = bank_with(mixture.value("bank", Json{{"part", "mlp"}}), options);
  if (mixture.contains("shared_bank") && !mixture["shared_bank"].empty())
    mixture["shared_bank"] = bank_with(mixture["shared_bank"], options);
  auto out = config;
  out.network = network;
  return out;
}

std::shared_ptr<Model> converted(Model& trained, const TrainConfig& config, const TaskData& data,
                                 const Task& task) {
  const at::NoGradGuard no_grad;
  auto model = make_model(config, data, task);
  const auto parameters = trained.named_parameters(), buffers = trained.named_buffers();
  const auto copy = [](const auto& to, const auto& from) {
    for (auto& item : to) {
      const auto* source = from.find(item.key());
      if (source != nullptr && source->scalar_type() == item.value().scalar_type())
        item.value().copy_(*source);
    }
  };
  copy(model->named_parameters(), parameters), copy(model->named_buffers(), buffers);
  auto banks = model->named_modules();
  for (const auto& item : trained.named_modules()) {
    auto bank = std::dynamic_pointer_cast<Bank>(item.value());
    if (bank == nullptr) continue;
    auto* place = banks.find(item.key());
    GW_ENSURE(place != nullptr, "convert: the converted model has no module \"{}\"", item.key());
    std::dynamic_pointer_cast<Bank>(*place)->take(*bank);
  }
  model->eval();
  return model;
}

int64_t bytes_of(const torch::nn::Module& model) {
  int64_t total = 0;
  for (const auto& t : model.parameters()) total += static_cast<int64_t>(t.nbytes());
  for (const auto& t : model.buffers()) total += static_cast<int64_t>(t.nbytes());
  return total;
}

void save_converted(const std::string& path, const Model& model, const TrainConfig& config) {
  auto copy = config;
  save_safetensors(path, pack_checkpoint(model, nullptr, nullptr, {}, write_options(copy)));
}

}  // namespace gw::inline train
