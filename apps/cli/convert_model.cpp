#include "apps/cli/convert_model.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "apps/cli/clocks.h"
#include "apps/cli/signals.h"
#include "gatewright/base/check.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/checkpoint/gguf.h"
#include "gatewright/language/model_tokenizer.h"
#include "gatewright/language/save_gguf.h"
#include "gatewright/language/save_language_model.h"
#include "gatewright/models/model.h"
#include "gatewright/runs/progress.h"
#include "gatewright/runs/run_directory.h"
#include "gatewright/train/checkpoint.h"
#include "gatewright/train/config.h"
#include "gatewright/train/trainer.h"

namespace gw {

bool is_run(const std::string& path) { return std::filesystem::exists(path + "/" + kRecipeFile); }

bool is_language_model(const std::string& name) {
  try {
    const auto path = find_model(name);
    return std::filesystem::exists(path + "/config.json") || is_gguf(path);
  } catch (const ValueError&) {
    return false;
  }
}

bool wants_gguf(const std::string& out) { return std::filesystem::path(out).extension() == ".gguf"; }

namespace {

void check_type(const std::string& out, const std::string& type) {
  GW_CHECK(
      !out.empty(),
      "convert: expected where to write the model to, got nothing: a folder after --out, or a .gguf file");
  if (wants_gguf(out)) {
    const bool known = type == "f32" || type == "f16" || type == "bf16" || type == "q8_0";
    GW_CHECK(known, "convert: expected --dtype f16, bf16, q8_0 or f32 for a GGUF file, got {}", shown(type));
    return;
  }
  GW_CHECK(
      type == "file" || type == "f32" || type == "bf16",
      "convert: expected --weights f32 or bf16 for a language model, got {}; codes of 8 and 4 bits are made "
      "when it is loaded (gatewright run --weights {})",
      type, type);
}

bool has_texts(const std::string& folder) {
  for (const char* name : {"/tokenizer.json", "/tokenizer.model", "/spiece.model"})
    if (std::filesystem::exists(folder + name)) return true;
  return false;
}
bool has_texts(const LanguageModel& model, const std::string& out) {
  if (wants_gguf(out)) return model.metadata.is_object() && model.metadata.contains("tokenizer.ggml.tokens");
  return has_texts(out);
}

/// What was written, in a line or as JSON.
void tell(const std::string& out, const std::string& family, const LoadReport& report, bool texts,
          bool json) {
  if (json)
    fmt::print(
        "{}\n",
        dump_json(
            {{"family", family}, {"parameters", report.parameters}, {"out", out}, {"tokenizer", texts}}));
  else
    fmt::print("wrote {}: {}, {:.1f} million parameters{}\n", shown(out), family,
               static_cast<double>(report.parameters) / 1e6,
               texts             ? ""
               : wants_gguf(out) ? "; no vocabulary: name the model's own with --tokenizer"
                                 : "; no tokenizer file: take the one that the model was published with");
}

void convert_pair(const std::string& path, const std::string& out, const std::string& type, bool json) {
  GW_CHECK(
      !wants_gguf(out),
      "convert: expected a folder after --out for a model that reads one text and writes another, got {}",
      shown(out));
  const auto model = load_encoder_decoder(path);
  save_encoder_decoder(model, out, {type});
  tell(out, model.family, model.report, has_texts(out), json);
}

/// A trained encoder and decoder as the folder of a published family.
void write_pair(const TrainConfig& config, const std::string& checkpoint, const std::string& out,
                const std::string& type, bool json) {
  GW_CHECK(!wants_gguf(out),
           "convert: expected a folder after --out for a run of networks/encoder_decoder, got {}",
           shown(out));
  const auto data = load_data(config);
  const auto trained = make_model(config, data, *make_task(config));
  load_model(*trained, load_checkpoint(checkpoint), checkpoint);
  const auto pair = std::dynamic_pointer_cast<EncoderDecoder>(trained->named_children()["pair"]);
  GW_ENSURE(pair != nullptr, "convert: networks/encoder_decoder holds no pair");
  const auto model = as_published(*pair, "nllb_moe");
  save_encoder_decoder(model, out, {type});
  tell(out, model.family, model.report, false, json);
}

void write_model(const LanguageModel& model, const std::string& out, const std::string& type, bool json) {
  const bool gguf = wants_gguf(out);
  auto options = progress_for(stderr, steady_now_s);
  options.label = "convert", options.unit = gguf ? "tensors" : "layers";
  std::optional<Progress> progress;
  const auto tick = [&](int64_t done, int64_t total) {
    if (stop_requested().load())
      throw Interrupted(gguf ? "interrupted; nothing was written"
                             : "interrupted; " + out +
                                   " has no config.json yet and is not a model: remove it");
    if (!progress) progress.emplace(total, options);
    progress->update(done);
  };
  if (gguf)
    save_gguf(model, out, type, tick);
  else
    save_language_model(model, out, {type}, tick);
  tell(out, model.family, model.report, has_texts(model, out), json);
}

}  // namespace

void convert_model(const std::string& name, const std::string& out, const std::string& type, bool json) {
  check_type(out, type);
  const auto path = find_model(name);
  if (is_encoder_decoder(path)) return convert_pair(path, out, type, json);
  write_model(load_language_model(path), out, type, json);
}

void convert_trained(const std::string& run, const std::string& checkpoint, const std::string& out,
                     const std::string& type, bool json) {
  check_type(out, type);
  const auto config = read_config("run " + shown(run), read_json(run + "/" + kRecipeFile));
  const auto& network = config.network.json();
  if (network.value("part", "") == "encoder_decoder")
    return write_pair(config, run + "/" + checkpoint, out, type == "file" ? "f32" : type, json);
  GW_CHECK(network.value("part", "") == "language_model",
           "convert: expected a run of networks/language_model to write as a model, got networks/{}",
           network.value("part", "image"));
  const auto name = find_model(network.at("model").get<std::string>());
  const auto opened = open_language_model(name);
  Model::Context context;
  context.data.vocabulary = opened.options.vocabulary, context.data.context = 1;
  context.answer = {opened.options.vocabulary, true};
  auto options = network;
  options.erase("part");
  const auto trained = make_part<Model>("language_model", options, context);
  const auto path = run + "/" + checkpoint;
  load_model(*trained, load_checkpoint(path), path);
  const auto decoder = std::dynamic_pointer_cast<Decoder>(trained->named_children()["decoder"]);
  GW_ENSURE(decoder != nullptr, "convert: networks/language_model holds no decoder");
  for (auto& parameter : decoder->parameters()) parameter.set_requires_grad(false);
  LanguageModel model{decoder, opened.family, name, opened.config.json(), opened.metadata, {}};
  model.report.parameters = trained->parameter_count();
  write_model(model, out, type == "file" ? "f32" : type, json);
}

}  // namespace gw
