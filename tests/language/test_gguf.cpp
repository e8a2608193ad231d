// GGUF files: block formats against the gguf package, models against transformers, hostile files.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/base/rng.h"
#include "gatewright/language/checkpoint/gguf.h"
#include "gatewright/language/language_model.h"
#include "gatewright/language/save_gguf.h"
#include "gatewright/language/save_language_model.h"
#include "gatewright/language/write_gguf.h"
#include "gatewright/models/safetensors.h"

namespace gw::test::gguf_cases {

const std::string kGolden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";

TEST(Gguf, EveryBlockFormatHasItsValues) {
  const auto path = kGolden + "gguf/blocks.gguf";
  const auto bytes = read_file(path, 1 << 20);
  const auto header = parse_gguf(bytes, path);
  const auto expected = load_safetensors(kGolden + "gguf/blocks.safetensors");
  ASSERT_EQ(header.tensors.size(), 11);
  for (const auto& [name, tensor] : header.tensors) {
    EXPECT_EQ(name, tensor.type->name);
    ASSERT_EQ(tensor.shape, (std::vector<int64_t>{3, 512})) << name;
    if (tensor.type->expand == nullptr) continue;
    auto values = at::empty({3, 512});
    for (int64_t i = 0; i < values.numel() / tensor.type->values; ++i)
      tensor.type->expand(
          reinterpret_cast<const uint8_t*>(bytes.data()) + tensor.offset + i * tensor.type->bytes,
          values.data_ptr<float>() + i * tensor.type->values);
    const auto& theirs = expected.tensor(name);
    EXPECT_LE(((values - theirs).abs() / (theirs.abs() + 1)).max().item<double>(), 1e-6) << name;
  }
}

class GgufModels : public testing::TestWithParam<std::string> {};

TEST_P(GgufModels, AnswerAsPublishedAndConvertBack) {
  const auto model = load_language_model(kGolden + "gguf/" + GetParam() + ".gguf");
  EXPECT_EQ(model.family, GetParam());
  const auto expected = load_safetensors(kGolden + GetParam() + "/expected.safetensors");
  const auto& ids = expected.tensor("ids");
  const auto logits = model.decoder->forward({ids, {ids.size(0)}}).logits;
  EXPECT_LE((logits - expected.tensor("logits")).abs().max().item<double>(), 1e-4);
  // Written for transformers it is the checkpoint that it came from, rows of queries and keys in place.
  const auto folder = testing::TempDir() + "/gw_gguf_" + GetParam();
  std::filesystem::remove_all(folder);
  save_language_model(model, folder);
  const auto before = load_safetensors(kGolden + GetParam() + "/model.safetensors").tensors;
  const auto after = load_safetensors(folder + "/model.safetensors").tensors;
  ASSERT_EQ(before.size(), after.size());
  for (const auto& [name, tensor] : before) {
    ASSERT_EQ(after.count(name), 1) << name;
    EXPECT_TRUE(at::equal(tensor, after.at(name))) << name;
  }
}

std::string shown_name(const testing::TestParamInfo<std::string>& one) { return one.param; }
INSTANTIATE_TEST_SUITE_P(Each, GgufModels, testing::Values("mixtral", "olmoe"), shown_name);

// Codes are those that the gguf package makes, bit for bit.
TEST(Gguf, EightBitsAreRoundedAsPublished) {
  const auto golden = load_safetensors(kGolden + "gguf/q8_0.safetensors");
  const auto &values = golden.tensor("values"), &codes = golden.tensor("codes");
  auto block = at::empty({34}, at::kByte);
  for (int64_t i = 0; i < codes.size(0); ++i) {
    q8_0_from(values[i].contiguous().data_ptr<float>(), block.data_ptr<uint8_t>());
    EXPECT_TRUE(at::equal(block, codes[i])) << i;
  }
}

/// Families as GGUF files describe them: what goldens have beyond that is refused below.
class GgufWritten : public testing::TestWithParam<std::string> {};

TEST_P(GgufWritten, IsTheSameModel) {
  const auto model = load_language_model(kGolden + GetParam());
  const auto ids = load_safetensors(kGolden + GetParam() + "/expected.safetensors").tensor("ids");
  const auto logits = [&](const LanguageModel& m) { return m.decoder->forward({ids, {ids.size(0)}}).logits; };
  const auto before = logits(model);
  for (const auto& [type, tolerance] :
       {std::pair{"f32", 1e-5}, {"f16", 0.03}, {"bf16", 0.4}, {"q8_0", 0.03}}) {
    const auto path = testing::TempDir() + "/gw_written_" + GetParam() + ".gguf";
    save_gguf(model, path, type);
    const auto back = load_language_model(path);
    EXPECT_EQ(back.family, GetParam() == "mistral" ? "llama" : GetParam());
    // A route that flips under rounding moves a token's logits by more: most tokens keep theirs.
    const auto worst = std::get<0>((logits(back) - before).abs().amax(1).sort());
    EXPECT_LE(worst[std::string(type) == "f32" ? -1 : ids.size(0) * 3 / 4].item<double>(), tolerance) << type;
    if (std::string(type) == "bf16") continue;  // norms of f32 follow the matrices when they are read
    const auto again = testing::TempDir() + "/gw_written_again.gguf";
    save_gguf(back, again, type);  // of a file that llama.cpp's order is in already
    EXPECT_EQ(read_file(again, 1 << 20), read_file(path, 1 << 20)) << type;
  }
}

INSTANTIATE_TEST_SUITE_P(Each, GgufWritten,
                         testing::Values("mistral", "mixtral", "qwen2", "qwen3_moe", "olmoe", "granitemoe",
                                         "gpt_oss"),
                         shown_name);

TEST(Gguf, EightBitsWhereRowsAllow) {
  const auto path = testing::TempDir() + "/gw_written_q8.gguf";
  const auto model = load_language_model(kGolden + "gpt_oss_mxfp4", {"f32"});
  save_gguf(model, path, "q8_0");
  const auto header = parse_gguf(read_file(path, 1 << 20), path);
  const auto type = [&](const std::string& name) { return std::string(header.tensors.at(name).type->name); };
  EXPECT_EQ(type("blk.0.ffn_down_exps.weight"), "Q8_0");
  EXPECT_EQ(type("blk.0.attn_output.weight"), "F16");  // rows of 24
  EXPECT_EQ(type("blk.0.ffn_down_exps.bias"), "F32");
  EXPECT_EQ(type("blk.0.ffn_gate_inp.weight"), "F32");
  EXPECT_EQ(type("blk.0.attn_sinks.weight"), "F32");
  // No value is further off than half a step of its block, and what f16 rounds of the scale.
  const auto back = load_language_model(path).decoder->named_parameters();
  for (const auto& item : model.decoder->named_parameters()) {
    const auto before = item.value().to(at::kDouble),
               error = (back[item.key()].to(at::kDouble) - before).abs();
    const bool blocks = before.dim() > 1 && before.size(-1) % 32 == 0;
    const auto most = blocks ? before.reshape({-1, 32}).abs().amax(1, true) : before.abs();
    const double share = blocks ? 1.0 / 254 + 1.0 / 2048 : 1.0 / 2048;
    EXPECT_TRUE(
        (error.reshape(blocks ? std::vector<int64_t>{-1, 32} : before.sizes().vec()) <= most * share + 1e-7)
            .all()
            .item<bool>())
        << item.key();
  }
}

TEST(Gguf, WhatMetadataCannotSayIsRefused) {
  const auto refused = [](const std::string& family) {
    const auto path = testing::TempDir() + "/gw_written_refused.gguf";
    std::filesystem::remove(path);
    try {
      save_gguf(load_language_model(kGolden + family), path);
    } catch (const ValueError& error) {
      EXPECT_FALSE(std::filesystem::exists(path)) << family;
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(refused("llama").find("output_bias"), std::string::npos) << refused("llama");
  EXPECT_NE(refused("qwen2_moe").find("dense_layers"), std::string::npos) << refused("qwen2_moe");
  EXPECT_NE(refused("deepseek_v3").find("deepseek_v3"), std::string::npos);
  EXPECT_THROW(save_gguf(load_language_model(kGolden + "mixtral", {"int8"}), testing::TempDir() + "/x.gguf"),
               ValueError);
  EXPECT_THROW(save_gguf(load_language_model(kGolden + "mixtral"), testing::TempDir() + "/x.gguf", "q4_0"),
               ValueError);
}

TEST(Gguf, MetadataComeBack) {
  const auto path = testing::TempDir() + "/gw_written_metadata.gguf";
  const Json given = {{"general.architecture", "llama"},
                      {"a.whole", 3000000000u},
                      {"a.signed", -4},
                      {"a.real", 0.5},
                      {"a.flag", true},
                      {"a.texts", Json::array({"x", "", "yz"})},
                      {"a.wholes", Json::array({1, -2})},
                      {"tokenizer.ggml.scores", Json::array({0, -1})}};
  const auto values = at::full({2, 3}, 1e5);
  write_gguf(path, given,
             {{"t", {2, 3}, "F32", [&] { return values; }}, {"u", {3}, "F32", [&] { return values[0]; }}});
  const auto header = parse_gguf(read_file(path, 1 << 20), path);
  EXPECT_EQ(header.metadata.at("a.whole").get<int64_t>(), 3000000000);
  EXPECT_EQ(header.metadata.at("a.signed").get<int64_t>(), -4);
  EXPECT_EQ(header.metadata.at("a.real").get<double>(), 0.5);
  EXPECT_TRUE(header.metadata.at("a.flag").get<bool>());
  EXPECT_EQ(header.metadata.at("a.texts")[2].text(), "yz");
  EXPECT_EQ(header.metadata.at("a.wholes")[1].get<int64_t>(), -2);
  EXPECT_TRUE(header.metadata.at("tokenizer.ggml.scores")[0].is_number_float());
  EXPECT_EQ(header.tensors.at("t").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(header.tensors.at("u").offset % 32, 0);
  EXPECT_THROW(write_gguf(path, given, {{"t", {2, 3}, "F16", [&] { return values; }}}),
               ValueError);  // above 65504
  EXPECT_THROW(write_gguf(path, {{"n", nullptr}}, {}), ValueError);
  EXPECT_EQ(parse_gguf(read_file(path, 1 << 20), path).tensors.size(), 2) << "the old file stays";
}

std::string refusal(const std::string& bytes) {
  try {
    parse_gguf(bytes, "x.gguf");
  } catch (const ValueError& error) {
    return error.what();
  }
  return "";
}

TEST(Gguf, WhatIsWrongIsSaid) {
  const auto bytes = read_file(kGolden + "gguf/mixtral.gguf", 1 << 20);
  EXPECT_NE(refusal("GGML....").find("begin with GGUF"), std::string::npos);
  auto version = bytes;
  version[4] = 9;
  EXPECT_NE(refusal(version).find("version 2 or 3, got 9"), std::string::npos);
  auto count = bytes;
  count[8 + 7] = 0x7f;
  EXPECT_NE(refusal(count).find("tensors"), std::string::npos);
  EXPECT_NE(refusal(bytes.substr(0, bytes.size() - 1)).find("within the file"), std::string::npos);
  EXPECT_NE(refusal(bytes.substr(0, 60)), "");
}

// Cut anywhere or with any byte changed, a file is read or refused, never more than that.
TEST(Gguf, HostileFilesAreReadOrRefused) {
  const auto bytes = read_file(kGolden + "gguf/mixtral.gguf", 1 << 20);
  const Rng rng(7);
  int refused = 0;
  for (uint64_t i = 0; i < 3000; ++i) {
    auto changed = bytes;
    for (uint64_t j = 0; j < 1 + i % 4; ++j)
      changed[rng.below(8 * i + 2 * j, 3000)] = static_cast<char>(rng.bits(8 * i + 2 * j + 1));
    if (i % 5 == 0) changed.resize(rng.below(8 * i + 7, bytes.size()));
    try {
      parse_gguf(changed, "x.gguf");
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 500);
}

}  // namespace gw::test::gguf_cases
