#include "apps/cli/convert_model.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "apps/cli/clocks.h"
#include "apps/cli/signals.h"
#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/checkpoint/gguf.h"
#include "gatewright/language/model_tokenizer.h"
#include "gatewright/language/save_language_model.h"
#include "gatewright/runs/progress.h"
#include "gatewright/runs/run_directory.h"

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

void convert_model(const std::string& name, const std::string& out, const std::string& type, bool json) {
  GW_CHECK(
      type == "file" || type == "f32" || type == "bf16",
      "convert: expected --weights f32 or bf16 for a language model, got {}; codes of 8 and 4 bits are made "
      "when it is loaded (gatewright run --weights {})",
      type, type);
  GW_CHECK(!out.empty(), "convert: expected --out, the folder to write the model to, got none");
  const auto path = find_model(name);
  const auto model = load_language_model(path);
  auto options = progress_for(stderr, steady_now_s);
  options.label = "convert", options.unit = "layers";
  std::optional<Progress> progress;
  save_language_model(model, out, {type}, [&](int64_t done, int64_t total) {
    if (stop_requested().load())
      throw Interrupted("interrupted; " + out + " has no config.json yet and is not a model: remove it");
    if (!progress) progress.emplace(total, options);
    progress->update(done);
  });
  const bool texts =
      std::filesystem::exists(out + "/tokenizer.json") || std::filesystem::exists(out + "/tokenizer.model");
  if (json)
    fmt::print("{}\n", dump_json({{"family", model.family},
                                  {"parameters", model.report.parameters},
                                  {"out", out},
                                  {"tokenizer", texts}}));
  else
    fmt::print("wrote {}: {}, {:.1f} million parameters{}\n", shown(out), model.family,
               static_cast<double>(model.report.parameters) / 1e6,
               texts ? "" : "; no tokenizer file: take the one that the model was published with");
}

}  // namespace gw
