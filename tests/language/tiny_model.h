#pragma once
// A drawn Mixtral of 512 tokens with a tokenizer, as a folder that anything here can load.
#include <filesystem>
#include <string>

#include "gatewright/base/file.h"
#include "gatewright/base/json_text.h"
#include "gatewright/language/family.h"
#include "gatewright/language/save_language_model.h"

namespace gw::test {

inline constexpr int32_t kTinyEnd = 2;  ///< "</s>"

inline void write_tiny_model(const std::string& folder) {
  const std::string root = GW_SOURCE_ROOT;
  auto config = read_json(root + "tests/language/golden/mixtral/config.json");
  config["vocab_size"] = 512, config["eos_token_id"] = kTinyEnd, config["num_local_experts"] = 4;
  auto options = make_family("mixtral")->options({config, "the test's config"});
  options.drawn = true;
  LanguageModel model{std::make_shared<Decoder>(options), "mixtral", "", config, nullptr, {}};
  save_language_model(model, folder);
  std::filesystem::copy(root + "tests/text/golden/gpt2.json", folder + "/tokenizer.json");
}

}  // namespace gw::test
