// GGUF files: block formats against the gguf package, models against transformers, hostile files.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/base/rng.h"
#include "gatewright/language/checkpoint/gguf.h"
#include "gatewright/language/language_model.h"
#include "gatewright/language/save_language_model.h"
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
