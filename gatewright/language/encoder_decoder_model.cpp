#include "gatewright/language/encoder_decoder_model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/encoder_decoder_family.h"

namespace gw::inline language {
namespace {

std::shared_ptr<EncoderDecoderFamily> part_named(const std::string& family) {
  return make_part<EncoderDecoderFamily>(family, Json::object(), {});
}

}  // namespace

bool is_encoder_decoder(const std::string& path) {
  if (!std::filesystem::exists(std::filesystem::path(path) / "config.json")) return false;
  const auto config = read_model_config(path);
  if (!config.has("model_type")) return false;
  const auto type = type_named(config);
  const auto known = Registry::instance().list(EncoderDecoderFamily::kKind);
  return std::any_of(known.begin(), known.end(), [&](const PartInfo& part) { return part.name == type; });
}

std::vector<Binding> bindings_of(const EncoderDecoderModel& model) {
  return part_named(model.family)->bindings(model.network->options());
}

EncoderDecoderModel as_published(EncoderDecoder& trained, const std::string& family) {
  const at::NoGradGuard no_grad;
  const auto part = part_named(family);
  const auto config = part->config_of(trained.options());
  const auto network = std::make_shared<EncoderDecoder>(part->options(ModelConfig(config, "convert")));
  const auto weights = trained.named_parameters();
  EncoderDecoderModel out{network, family, "", config, {}};
  for (auto& item : network->named_parameters()) {
    const auto* weight = weights.find(item.key());
    GW_ENSURE(weight != nullptr && weight->sizes() == item.value().sizes(),
              "convert: expected the parameter \"{}\" of {} in the trained network", item.key(), family);
    item.value().copy_(*weight);
    item.value().set_requires_grad(false);
    out.report.parameters += weight->numel();
  }
  GW_ENSURE(weights.size() == network->named_parameters().size(),
            "convert: {} has {} parameters, trained were {}", family, network->named_parameters().size(),
            weights.size());
  out.report.bytes = network->bytes();
  network->eval();
  return out;
}

OpenedEncoderDecoder open_encoder_decoder(const std::string& path) {
  OpenedEncoderDecoder out{read_model_config(path), nullptr, "", nullptr, {}};
  out.family = family_named(out.config, EncoderDecoderFamily::kKind);
  out.part = part_named(out.family);
  out.options = out.part->options(out.config);
  out.tensors = open_tensors(path, out.config);
  const auto &reads = out.options.encoder, &writes = out.options.decoder;
  check_described(described_values(reads) + described_values(writes) -
                      static_cast<double>(reads.vocabulary) * static_cast<double>(reads.width),
                  *out.tensors);
  return out;
}

EncoderDecoderModel load_encoder_decoder(const std::string& path, const LoadOptions& load) {
  loaded_as(load.weights, at::kFloat);  // before anything is opened
  const at::NoGradGuard no_grad;
  const auto opened = open_encoder_decoder(path);
  EncoderDecoderModel out{
      std::make_shared<EncoderDecoder>(opened.options), opened.family, path, opened.config.json(), {}};
  const auto bindings = opened.part->bindings(opened.options);
  ParameterLoader loader(*out.network, *opened.tensors,
                         loaded_as(load.weights, file_type(bindings, *opened.tensors)));
  loader.load(bindings);
  out.report = loader.finish(opened.part->ignored(opened.options));
  if (in_codes(load.weights)) out.network->hold(load.weights, load.group);
  out.report.bytes = out.network->bytes();
  for (auto& parameter : out.network->parameters()) parameter.set_requires_grad(false);
  out.network->eval();
  return out;
}

}  // namespace gw::inline language
