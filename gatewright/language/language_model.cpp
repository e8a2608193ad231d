#include "gatewright/language/language_model.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/checkpoint/kept_codes.h"

namespace gw::inline language {

bool in_codes(const std::string& weights) { return weights == "int8" || weights == "int4"; }

at::ScalarType loaded_as(const std::string& weights, at::ScalarType in_file) {
  const bool known =
      weights == "file" || weights == "keep" || weights == "f32" || weights == "bf16" || in_codes(weights);
  GW_CHECK(known, "language model: expected weights file, keep, f32, bf16, int8 or int4, got \"{}\"",
           shown(weights));
  if (weights == "file" || weights == "keep") return in_file;
  return weights == "bf16" ? at::kBFloat16 : at::kFloat;
}

std::vector<Binding> layer_bindings(const LanguageModel& model, int64_t layer) {
  return make_family(model.family)->layer(model.decoder->options(), layer);
}

LanguageModel load_language_model(const std::string& path, const LoadOptions& load) {
  loaded_as(load.weights, at::kFloat);  // before anything is opened
  const at::NoGradGuard no_grad;
  auto opened = open_language_model(path);
  if (load.change) load.change(opened.options);
  const auto& options = opened.options;
  LanguageModel out{
      std::make_shared<Decoder>(options), opened.family, path, opened.config.json(), opened.metadata, {}};
  ParameterLoader loader(*out.decoder, *opened.tensors, loaded_as(load.weights, file_type(opened)));
  KeptCodes kept;
  const auto fill = [&](const std::vector<Binding>& bindings) {
    if (load.weights == "keep") kept.merge(kept_codes(*opened.tensors, bindings));
    loader.load(bindings, kept);
  };
  fill(outer_bindings(options));
  for (size_t i = 0; i < out.decoder->layers().size(); ++i) {
    fill(opened.part->layer(options, static_cast<int64_t>(i)));
    if (in_codes(load.weights)) out.decoder->layers()[i]->hold(load.weights, load.group);
  }
  if (in_codes(load.weights)) out.decoder->hold_head("int8", 0);
  keep_codes(*out.decoder, kept);
  auto ignored = opened.part->ignored(options);
  if (options.tied) ignored.push_back("lm_head.weight");
  out.report = loader.finish(ignored);
  out.report.bytes = out.decoder->bytes();
  for (auto& parameter : out.decoder->parameters()) parameter.set_requires_grad(false);
  out.decoder->eval();
  return out;
}

}  // namespace gw::inline language
