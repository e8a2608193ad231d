// What is written is what was read, for every family and every spelling.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"
#include "gatewright/language/save_language_model.h"
#include "gatewright/models/safetensors.h"

namespace gw::test::save_cases {

namespace fs = std::filesystem;
const std::string kGolden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";

std::string fresh(const std::string& name) {
  const auto path = fs::path(testing::TempDir()) / ("gw_save_" + name);
  fs::remove_all(path);
  return path.string();
}

std::vector<std::string> families() {
  std::vector<std::string> names;
  for (const auto& part : Registry::instance().list(LanguageFamily::kKind)) names.push_back(part.name);
  return names;
}

class Saved : public testing::TestWithParam<std::string> {};

TEST_P(Saved, ReadsBackBitByBit) {
  const auto folder = fresh(GetParam());
  save_language_model(load_language_model(kGolden + GetParam()), folder);
  const auto before = load_safetensors(kGolden + GetParam() + "/model.safetensors").tensors;
  const auto after = load_safetensors(folder + "/model.safetensors").tensors;
  ASSERT_EQ(before.size(), after.size());
  for (const auto& [name, tensor] : before) EXPECT_TRUE(at::equal(tensor, after.at(name))) << name;
  const auto ids = load_safetensors(kGolden + GetParam() + "/expected.safetensors").tensor("ids");
  const auto logits = [&](const std::string& path) {
    return load_language_model(path).decoder->forward({ids, {ids.size(0)}}).logits;
  };
  EXPECT_TRUE(at::equal(logits(folder), logits(kGolden + GetParam())));
}

TEST_P(Saved, ShardsAreOneModel) {
  const auto folder = fresh(GetParam() + "_shards");
  save_language_model(load_language_model(kGolden + GetParam()), folder, {"bf16", 4000});
  ASSERT_TRUE(fs::exists(folder + "/model.safetensors.index.json"));
  const auto whole = load_language_model(kGolden + GetParam(), {"bf16"}),
             sharded = load_language_model(folder);
  for (const auto& item : whole.decoder->named_parameters())
    EXPECT_TRUE(at::equal(item.value().to(at::kBFloat16),
                          sharded.decoder->named_parameters().find(item.key())->to(at::kBFloat16)))
        << item.key();
}

std::string shown_name(const testing::TestParamInfo<std::string>& info) { return info.param; }
INSTANTIATE_TEST_SUITE_P(Every, Saved, testing::ValuesIn(families()), shown_name);

/// A copy of a golden checkpoint with other tensors or another config.
std::string changed(const std::string& family, const std::function<void(SafetensorsFile&, Json&)>& change) {
  const auto folder = fresh("changed");
  fs::create_directories(folder);
  auto file = load_safetensors(kGolden + family + "/model.safetensors");
  auto config = Json::parse(read_file(kGolden + family + "/config.json", 1 << 20));
  change(file, config);
  save_safetensors(folder + "/model.safetensors", file);
  write_atomic(folder + "/config.json", config.dump());
  return folder;
}

std::string refusal(const std::string& folder) {
  try {
    load_language_model(folder);
  } catch (const ValueError& error) {
    return error.what();
  }
  return "";
}

// Fused stacks in one tensor, as transformers holds them in memory, are the same model as one tensor an
// expert.
TEST(Spellings, FusedStacksAreTheSame) {
  const auto folder = changed("olmoe", [](SafetensorsFile& file, Json&) {
    for (const std::string layer : {"model.layers.0.mlp.experts.", "model.layers.1.mlp.experts."}) {
      std::vector<at::Tensor> both, down;
      for (int e = 0; e < 6; ++e) {
        const auto at = layer + std::to_string(e);
        both.push_back(
            at::cat({file.tensors.at(at + ".gate_proj.weight"), file.tensors.at(at + ".up_proj.weight")}));
        down.push_back(file.tensors.at(at + ".down_proj.weight"));
        for (const char* name : {".gate_proj.weight", ".up_proj.weight", ".down_proj.weight"})
          file.tensors.erase(at + name);
      }
      file.tensors[layer + "gate_up_proj"] = at::stack(both),
                           file.tensors[layer + "down_proj"] = at::stack(down);
    }
  });
  const auto expected = load_safetensors(kGolden + "olmoe/expected.safetensors");
  const auto& ids = expected.tensor("ids");
  const auto logits = load_language_model(folder).decoder->forward({ids, {ids.size(0)}}).logits;
  EXPECT_LE((logits - expected.tensor("logits")).abs().max().item<double>(), 1e-4);
}

TEST(Spellings, TheFirstKeysOfJetMoeAreTheSame) {
  const auto folder = changed("jetmoe", [](SafetensorsFile&, Json& config) {
    for (const auto& [first, later] : {std::pair{"moe_num_experts", "num_local_experts"},
                                       {"moe_top_k", "num_experts_per_tok"},
                                       {"ffn_hidden_size", "intermediate_size"}}) {
      const Json value = config[later];
      config[first] = value, config.erase(later);
    }
  });
  const auto expected = load_safetensors(kGolden + "jetmoe/expected.safetensors");
  const auto& ids = expected.tensor("ids");
  const auto logits = load_language_model(folder).decoder->forward({ids, {ids.size(0)}}).logits;
  EXPECT_LE((logits - expected.tensor("logits")).abs().max().item<double>(), 1e-4);
  const std::string output = "model.layers.1.self_attention.experts.output_linear.weight";
  const auto missing =
      refusal(changed("jetmoe", [&](SafetensorsFile& file, Json&) { file.tensors.erase(output); }));
  EXPECT_NE(missing.find(output), std::string::npos) << missing;
  EXPECT_NE(missing.find("layer1.attention.wo"), std::string::npos) << missing;
}

TEST(Spellings, WhatIsMissingOrOverIsNamed) {
  const auto missing = refusal(changed("olmoe", [](SafetensorsFile& file, Json&) {
    file.tensors.erase("model.layers.1.mlp.experts.4.up_proj.weight");
  }));
  EXPECT_NE(missing.find("model.layers.1.mlp.experts.4.up_proj.weight"), std::string::npos) << missing;
  EXPECT_NE(missing.find("layer1.mixture.bank.w1"), std::string::npos) << missing;
  const auto over = refusal(changed("llama", [](SafetensorsFile& file, Json&) {
    file.tensors["model.layers.2.mlp.up_proj.weight"] = at::zeros({2});
  }));
  EXPECT_NE(over.find("model.layers.2.mlp.up_proj.weight"), std::string::npos) << over;
  const auto shape =
      refusal(changed("mixtral", [](SafetensorsFile&, Json& config) { config["intermediate_size"] = 13; }));
  EXPECT_NE(shape.find("[13, 16]"), std::string::npos) << shape;
  const auto family =
      refusal(changed("mixtral", [](SafetensorsFile&, Json& config) { config["model_type"] = "mixtrall"; }));
  EXPECT_NE(family.find("did you mean \"mixtral\""), std::string::npos) << family;
  const auto key =
      refusal(changed("mixtral", [](SafetensorsFile&, Json& config) { config.erase("hidden_size"); }));
  EXPECT_NE(key.find("hidden_size"), std::string::npos) << key;
  const auto kind = refusal(changed(
      "llama", [](SafetensorsFile&, Json& config) { config["rope_parameters"]["rope_type"] = "dynamic"; }));
  EXPECT_NE(kind.find("dynamic"), std::string::npos) << kind;
}

// A config may ask for any size; what the files do not hold is not allocated.
TEST(Spellings, SizesBeyondTheFilesAreRefused) {
  for (const char* key :
       {"vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size", "num_local_experts"}) {
    const auto refused = refusal(changed("mixtral", [&](SafetensorsFile&, Json& config) {
      config[key] = std::string(key) == "num_hidden_layers" ? 4096
                    : std::string(key) == "vocab_size"      ? 1 << 24
                                                            : 60000;
      if (std::string(key) == "num_hidden_layers") config["intermediate_size"] = 1 << 20;
    }));
    EXPECT_NE(refused.find("got files with"), std::string::npos) << key << ": " << refused;
  }
}

TEST(Spellings, AFullFolderIsLeftAlone) {
  const auto folder = fresh("full");
  fs::create_directories(folder);
  write_atomic(folder + "/mine.txt", "x");
  EXPECT_THROW(save_language_model(load_language_model(kGolden + "llama"), folder), ValueError);
}

}  // namespace gw::test::save_cases
