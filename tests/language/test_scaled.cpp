// FP8 and MXFP4 in safetensors: values by hand, models against transformers with the values that torch and
// transformers read (tests/language/make_language_golden.py). A nibble order, a scale that divides, or blocks
// of another size break every one of them.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/language/checkpoint/kept_codes.h"
#include "gatewright/language/checkpoint/scaled_blocks.h"
#include "gatewright/language/language_model.h"
#include "gatewright/language/save_language_model.h"
#include "gatewright/models/safetensors.h"

namespace gw::test::scaled_cases {

namespace fs = std::filesystem;
const std::string kGolden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";

TEST(Scaled, EightBitsHaveTheirValues) {
  for (const auto& [code, value] : {std::pair{0x00, 0.0},
                                    {0x01, 1.0 / 512},
                                    {0x07, 7.0 / 512},
                                    {0x08, 1.0 / 64},
                                    {0x38, 1.0},
                                    {0x3c, 1.5},
                                    {0x7e, 448.0},
                                    {0xb8, -1.0},
                                    {0xfe, -448.0}})
    EXPECT_EQ(e4m3_value(static_cast<uint8_t>(code)), value) << code;
  EXPECT_TRUE(std::isnan(e4m3_value(0x7f)));
  EXPECT_TRUE(std::isnan(e4m3_value(0xff)));
}

TEST(Scaled, BlocksShareTheirScale) {
  const auto codes = at::full({2, 3, 5}, 0x38, at::kByte);
  const auto scales = at::arange(1, 13, at::kFloat).view({2, 2, 3});
  const auto w = expand_fp8(codes, scales, 2, 2);
  EXPECT_EQ(w[0][0][0].item<float>(), 1);
  EXPECT_EQ(w[0][1][3].item<float>(), 2);
  EXPECT_EQ(w[0][2][4].item<float>(), 6);
  EXPECT_EQ(w[1][2][1].item<float>(), 10);
  EXPECT_THROW(expand_fp8(codes, scales, 2, 3), ValueError);
  EXPECT_THROW(expand_fp8(codes.to(at::kChar), scales, 2, 2), ValueError);
  EXPECT_THROW(expand_fp8(codes, scales.to(at::kLong), 2, 2), ValueError);
}

TEST(Scaled, FourBitsHaveTheirValues) {
  auto blocks = at::zeros({1, 2, 16}, at::kByte);
  blocks[0][0][0] = 0x72, blocks[0][1][15] = 0xf9;  // 1 and 6; -0.5 and -6
  const auto w = expand_mxfp4(blocks, at::tensor({128, 126}, at::kByte).view({1, 2}));
  ASSERT_EQ(w.sizes(), (std::vector<int64_t>{1, 64}));
  EXPECT_EQ(w[0][0].item<float>(), 2);
  EXPECT_EQ(w[0][1].item<float>(), 12);
  EXPECT_EQ(w[0][62].item<float>(), -0.25);
  EXPECT_EQ(w[0][63].item<float>(), -3);
  EXPECT_THROW(expand_mxfp4(blocks, at::zeros({2}, at::kByte)), ValueError);
  EXPECT_THROW(expand_mxfp4(blocks.narrow(2, 0, 8), at::zeros({1, 2}, at::kByte)), ValueError);
}

class ScaledModels : public testing::TestWithParam<std::string> {};

TEST_P(ScaledModels, AnswerAsPublished) {
  const auto expected = load_safetensors(kGolden + GetParam() + "/expected.safetensors");
  const auto model = load_language_model(kGolden + GetParam(), {"f32"});
  const auto &ids = expected.tensor("ids"), &greedy = expected.tensor("greedy");
  const auto logits = model.decoder->forward({ids, {ids.size(0)}}).logits;
  EXPECT_LE((logits - expected.tensor("logits")).abs().max().item<double>(), 1e-4);
  DecoderState state;
  auto next = greedy.narrow(0, 0, 9);
  for (int64_t at = 9; at < greedy.size(0); ++at) {
    next = model.decoder->forward({next, {next.size(0)}, {&state}, true}).logits.argmax(-1);
    ASSERT_EQ(next.item<int64_t>(), greedy[at].item<int64_t>()) << "token " << at;
  }
  // Written, it is a model of plain values.
  const auto folder = testing::TempDir() + "/gw_scaled_" + GetParam();
  fs::remove_all(folder);
  save_language_model(model, folder);
  const auto again = load_language_model(folder);
  EXPECT_FALSE(again.config.contains("quantization_config"));
  EXPECT_TRUE(at::equal(again.decoder->forward({ids, {ids.size(0)}}).logits, logits));
}

std::string shown_name(const testing::TestParamInfo<std::string>& one) { return one.param; }
INSTANTIATE_TEST_SUITE_P(Each, ScaledModels, testing::Values("deepseek_v3_fp8", "gpt_oss_mxfp4"), shown_name);

// As they are in the file, beside bf16: codes take its type, and a view says so before loading.
TEST_P(ScaledModels, TakeTheTypeBesideThem) {
  const auto model = load_language_model(kGolden + GetParam());
  for (const auto& item : model.decoder->named_parameters())
    if (item.key().find("gate.") == std::string::npos) {
      EXPECT_EQ(item.value().scalar_type(), at::kBFloat16) << item.key();
    }
  const auto expected = load_safetensors(kGolden + GetParam() + "/expected.safetensors");
  const auto& ids = expected.tensor("ids");
  const auto logits = model.decoder->forward({ids, {ids.size(0)}}).logits;
  const auto worst = std::get<0>((logits - expected.tensor("logits")).abs().amax(1).sort());
  EXPECT_LE(worst[ids.size(0) * 3 / 4].item<double>(), 0.4);
}

std::vector<at::Tensor> rows_of(const std::vector<SitedPlan>& plans) {
  std::vector<at::Tensor> all;
  for (const auto& one : plans) all.push_back(one.plan.token), all.push_back(expert_of_rows(one.plan));
  return all;
}

// Kept, the codes are multiplied from: f32 beside them, the published logits and the routes of the expanded
// model; as they are in the file, its bits where no expert is shared (those are single operations when
// expanded).
TEST_P(ScaledModels, MultiplyFromTheirCodes) {
  const auto expected = load_safetensors(kGolden + GetParam() + "/expected.safetensors");
  const auto& ids = expected.tensor("ids");
  const auto kept = load_language_model(kGolden + GetParam(), {"keep"}),
             file = load_language_model(kGolden + GetParam()),
             plain = load_language_model(kGolden + GetParam(), {"f32"});
  const auto ask = [&](const LanguageModel& model) { return model.decoder->forward({ids, {ids.size(0)}}); };
  if (GetParam() == "gpt_oss_mxfp4") {
    EXPECT_TRUE(at::equal(ask(kept).logits, ask(file).logits));
  }
  EXPECT_LT(kept.report.bytes, file.report.bytes);
  EXPECT_EQ(kept.report.parameters, file.report.parameters);
  EXPECT_EQ(kept.report.bytes, kept.decoder->bytes());
  for (const auto& item : kept.decoder->named_parameters())
    if (item.key().find(".bank.") != std::string::npos) {
      EXPECT_EQ(item.value().numel(), 0) << item.key();
    }
  kept.decoder->to(torch::kFloat);
  const auto got = ask(kept), want = ask(plain);
  EXPECT_LE((got.logits - want.logits).abs().max().item<double>(), 1e-4);
  EXPECT_LE((got.logits - expected.tensor("logits")).abs().max().item<double>(), 1e-4);
  const auto routes = rows_of(got.plans), theirs = rows_of(want.plans);
  ASSERT_EQ(routes.size(), theirs.size());
  for (size_t i = 0; i < routes.size(); ++i) EXPECT_TRUE(at::equal(routes[i], theirs[i])) << i;
}

// The bytes of codes and scales by hand: one layer of 3 experts, gate and up of 64 × 32 and down of 32 × 64
// in 17 bytes for 32 values; biases in f32.
TEST(Scaled, KeptCodesTakeTheirBytes) {
  const auto model = load_language_model(kGolden + "gpt_oss_mxfp4", {"keep"});
  int64_t plain = 0;
  for (const auto& parameter : model.decoder->parameters()) plain += static_cast<int64_t>(parameter.nbytes());
  for (const auto& buffer : model.decoder->buffers()) plain += static_cast<int64_t>(buffer.nbytes());
  const int64_t codes = 3 * (3 * 64 * 32) / 32 * 17, biases = 3 * (64 + 64 + 32) * 4;
  EXPECT_EQ(model.decoder->bytes() - plain, codes + biases);
}

// A model that multiplies from codes has no values to write, and takes no others.
TEST(Scaled, KeptCodesAreNotWritten) {
  const auto folder = testing::TempDir() + "/gw_scaled_kept";
  fs::remove_all(folder);
  const auto model = load_language_model(kGolden + "deepseek_v3_fp8", {"keep"});
  EXPECT_THROW(save_language_model(model, folder), ValueError);
  const auto other = load_language_model(kGolden + "deepseek_v3_fp8", {"f32"});
  ops::CodedFfn none;
  for (const auto& module : other.decoder->modules())
    if (auto* bank = module->as<Bank>()) {
      EXPECT_THROW(bank->keep(none), ValueError);
    }
}

// Halves, rows by turns and turned stacks are looked at where they lie; what codes cannot be looked at like
// is expanded.
TEST(Scaled, CodesStayWhereTheirRowsAreOutputs) {
  const auto opened = open_language_model(kGolden + "gpt_oss_mxfp4");
  const auto all = kept_codes(*opened.tensors, opened.part->layer(opened.options, 0));
  ASSERT_EQ(all.size(), 3);
  const auto& gate = all.at("layer0.mixture.bank.wg");
  ASSERT_EQ(gate.size(), 3);
  const auto stack = opened.tensors->tensor("model.layers.0.mlp.experts.gate_up_proj");
  for (size_t e = 0; e < 3; ++e)
    EXPECT_TRUE(at::equal(ops::coded_values(gate[e]),
                          stack[static_cast<int64_t>(e)].t().slice(0, 0, c10::nullopt, 2)));
  Piece wrong{"model.layers.0.mlp.experts.gate_up_proj"};  // not turned
  EXPECT_TRUE(kept_codes(*opened.tensors, {{"layer0.mixture.bank.w1", {{wrong}}}}).empty());
}

/// A checkpoint of one tensor in codes.
class OneInCodes : public TensorSource {
 public:
  explicit OneInCodes(CodedTensor few) : few_(std::move(few)) {}
  std::vector<std::string> names() const override { return {"w"}; }
  bool has(const std::string& name) const override { return name == "w"; }
  at::Tensor tensor(const std::string&) const override { return few_.codes; }
  std::optional<CodedTensor> coded(const std::string&) const override { return few_; }
  TensorInfo info(const std::string&) const override {
    return {few_.codes.sizes().vec(), "F8_E4M3", at::kFloat, 0};
  }
  double values() const override { return 0; }
  std::string where() const override { return "the test"; }

 private:
  CodedTensor few_;
};

TEST(Scaled, ScalesOfOtherShapesAreNotFollowed) {
  const std::vector<Binding> bindings{{"layer0.attention.query.weight", {{Piece{"w"}}}}};
  const auto kept = [&](const at::Tensor& codes, const at::Tensor& scales) {
    return kept_codes(OneInCodes({ops::FewBits::fp8, codes, scales, 4, 4}), bindings);
  };
  const auto codes = at::zeros({8, 12}, at::kByte);
  EXPECT_EQ(kept(codes, at::ones({2, 3})).size(), 1);
  EXPECT_THROW(kept(codes, at::ones({2, 2})), ValueError);
  EXPECT_THROW(kept(codes, at::ones({2, 3}, at::kLong)), ValueError);
  EXPECT_THROW(kept(at::zeros({8, 0}, at::kByte), at::ones({2, 0})), ValueError);
  EXPECT_TRUE(kept(codes, at::ones({6})).empty());
  EXPECT_TRUE(kept(at::zeros({5, 8, 12}, at::kByte), at::ones({2, 2, 3})).empty());
}

std::string refusal(const std::function<void(Json&)>& change) {
  const auto folder = fs::path(testing::TempDir()) / "gw_scaled_changed";
  fs::remove_all(folder);
  fs::create_directories(folder);
  fs::copy(kGolden + "deepseek_v3_fp8/model.safetensors", folder / "model.safetensors");
  auto config = Json::parse(read_file(kGolden + "deepseek_v3_fp8/config.json", 1 << 20));
  change(config);
  write_atomic((folder / "config.json").string(), config.dump());
  try {
    load_language_model(folder.string());
  } catch (const ValueError& error) {
    return error.what();
  }
  return "";
}

TEST(Scaled, WhatDoesNotFitIsSaid) {
  const auto method = refusal([](Json& config) { config["quantization_config"]["quant_method"] = "gptq"; });
  EXPECT_NE(method.find("expected quant_method fp8 or mxfp4, got \"gptq\""), std::string::npos) << method;
  const auto block = refusal([](Json& config) { config["quantization_config"].erase("weight_block_size"); });
  EXPECT_NE(block.find("128 by 128"), std::string::npos) << block;
  const auto sizes =
      refusal([](Json& config) { config["quantization_config"]["weight_block_size"] = {8.0}; });
  EXPECT_NE(sizes.find("two sizes"), std::string::npos) << sizes;
  EXPECT_NE(refusal([](Json& config) { config.erase("quantization_config"); }), "")
      << "codes without a config";
}

}  // namespace gw::test::scaled_cases
