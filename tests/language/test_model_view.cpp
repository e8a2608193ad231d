// What a model takes, from headers alone, against what it takes when it is loaded.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/language/encoder_decoder_model.h"
#include "gatewright/language/language_model.h"
#include "gatewright/language/model_view.h"

namespace gw::test::model_view_cases {

const std::string kGolden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";

std::vector<std::string> models() {
  std::vector<std::string> names{"gguf/mixtral.gguf", "deepseek_v3_fp8", "gpt_oss_mxfp4"};
  for (const auto& part : Registry::instance().list(LanguageFamily::kKind)) names.push_back(part.name);
  return names;
}

class Viewed : public testing::TestWithParam<std::string> {};

TEST_P(Viewed, IsWhatLoadingTakes) {
  const auto path = kGolden + GetParam();
  const auto view = view_language_model(path);
  const bool in_codes = view.types.count("F8_E4M3") + view.types.count("MXFP4") > 0;
  ASSERT_EQ(view.held.size(), in_codes ? 6 : 5);
  int64_t typed = 0;
  for (const auto& item : view.types) typed += item.second;
  EXPECT_EQ(typed, view.parameters);
  EXPECT_LE(view.active, view.parameters);
  EXPECT_EQ(view.active == view.parameters, view.routed_layers == 0);
  for (const auto& held : view.held) {
    const auto model = load_language_model(path, {held.weights});
    EXPECT_EQ(view.family, model.family);
    EXPECT_EQ(view.parameters, model.report.parameters);
    EXPECT_EQ(held.bytes, model.decoder->bytes()) << held.weights;
    EXPECT_EQ(held.bytes, model.report.bytes) << held.weights;
    EXPECT_LE(held.read, held.bytes) << held.weights;
    DecoderState state;
    model.decoder->forward({at::arange(2, 9, at::kLong), {7}, {&state}});
    int64_t kept = 0;
    for (const auto& layer : state.layers)
      kept += static_cast<int64_t>(layer.key().nbytes() + layer.value().nbytes());
    EXPECT_EQ(7 * held.remembered, kept) << held.weights;
  }
}

std::string shown_name(const testing::TestParamInfo<std::string>& info) {
  auto name = info.param;
  for (auto& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
}
INSTANTIATE_TEST_SUITE_P(Every, Viewed, testing::ValuesIn(models()), shown_name);

class ViewedPair : public testing::TestWithParam<std::string> {};

TEST_P(ViewedPair, IsWhatLoadingTakes) {
  const auto path = kGolden + GetParam();
  const auto view = view_encoder_decoder(path);
  ASSERT_EQ(view.held.size(), 5);
  ASSERT_TRUE(view.encoder.has_value());
  EXPECT_LT(view.active, view.parameters);
  for (const auto& held : view.held) {
    const auto model = load_encoder_decoder(path, {held.weights});
    EXPECT_EQ(view.family, model.family);
    EXPECT_EQ(view.parameters, model.report.parameters);
    EXPECT_EQ(held.bytes, model.network->bytes()) << held.weights;
    EXPECT_LT(held.read, held.bytes) << held.weights;  // of the encoder nothing
    const auto source = model.network->encode(at::arange(2, 7, at::kLong), {5});
    int64_t kept = 0;
    for (const auto& layer : source.rows.layers)
      kept += static_cast<int64_t>(layer.key.nbytes() + layer.value.nbytes());
    EXPECT_EQ(5 * held.remembered, kept) << held.weights;
  }
}
INSTANTIATE_TEST_SUITE_P(Every, ViewedPair,
                         testing::Values("switch_transformers", "switch_transformers_untied", "nllb_moe"),
                         shown_name);

TEST(ModelView, OneExpertOfSwitchServesAToken) {
  EXPECT_EQ(view_encoder_decoder(kGolden + "switch_transformers").options.chosen(), 1);
  EXPECT_EQ(view_encoder_decoder(kGolden + "nllb_moe").options.chosen(), 2);
}

// By hand: width 16, 4 heads of 4 with 2 of keys, 5 experts of 12 of which 2 serve a token, 40 tokens, 2
// layers.
TEST(ModelView, CountsByHand) {
  const auto view = view_language_model(kGolden + "mixtral");
  const int64_t attention = 16 * 16 * 2 + 2 * 8 * 16, expert = 3 * 16 * 12, router = 5 * 16, norms = 2 * 16;
  const int64_t layer = attention + router + norms, outer = 2 * 40 * 16 + 16;
  EXPECT_EQ(view.parameters, outer + 2 * (layer + 5 * expert));
  EXPECT_EQ(view.active, outer + 2 * (layer + 2 * expert));
  EXPECT_EQ(view.held[1].read,
            4 * (16 + 40 * 16 + 16 + 2 * (layer + 2 * expert)));        // of the embeddings one row
  EXPECT_EQ(view.held[2].bytes, 2 * view.parameters + 2 * 2 * router);  // routers stay f32 beside bf16
  EXPECT_EQ(view.held[2].remembered, 2 * 2 * 8 * 2);
  EXPECT_EQ(view.routed_layers, 2);
}

}  // namespace gw::test::model_view_cases
