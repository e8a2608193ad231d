// Gradients of whole models against those of transformers, which lie beside the checkpoints as checkpoints
// whose values are gradients (tests/language/make_language_golden.py --gradients).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "gatewright/language/language_model.h"
#include "gatewright/models/safetensors.h"

namespace gw::test::published_gradients_cases {

namespace fs = std::filesystem;
const std::string kGolden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";

class PublishedGradients : public testing::TestWithParam<std::string> {};

/// The mean loss of each next token, with gradients in the model's parameters.
double learn(Decoder& decoder, const at::Tensor& ids) {
  for (auto& parameter : decoder.parameters()) parameter.set_requires_grad(true);
  const auto logits = decoder.forward({ids, {ids.size(0)}}).logits;
  const int64_t n = ids.size(0) - 1;
  const auto loss = at::cross_entropy_loss(logits.narrow(0, 0, n), ids.narrow(0, 1, n));
  loss.backward();
  return loss.item<double>();
}

TEST_P(PublishedGradients, AreThoseOfOurs) {
  const auto path = kGolden + GetParam();
  if (!fs::exists(path + "/gradients.safetensors"))
    GTEST_SKIP() << "no gradients.safetensors in " << path
                 << ": python tests/language/make_language_golden.py --gradients writes it";
  const auto model = load_language_model(path, {"f32"});
  const auto expected = load_safetensors(path + "/expected.safetensors");
  learn(*model.decoder, expected.tensor("ids"));
  // Their gradients under our names: loaded as a model, every tensor of it read.
  const auto folder = fs::path(testing::TempDir()) / ("gw_gradients_" + GetParam());
  fs::remove_all(folder);
  fs::create_directories(folder);
  fs::copy(path + "/config.json", folder / "config.json");
  fs::copy(path + "/gradients.safetensors", folder / "model.safetensors");
  const auto gradients = load_language_model(folder.string(), {"f32"});
  const auto theirs = gradients.decoder->named_parameters();
  int64_t moved = 0;
  for (const auto& item : model.decoder->named_parameters()) {
    const auto& want = theirs[item.key()];
    const auto got = item.value().grad().defined() ? item.value().grad() : at::zeros_like(item.value());
    ASSERT_EQ(got.sizes(), want.sizes()) << item.key();
    const double size = want.abs().max().item<double>();
    EXPECT_LE((got - want).abs().max().item<double>(), 1e-4 * size + 1e-6)
        << item.key() << ", up to " << size;
    moved += size > 1e-3 ? 1 : 0;
  }
  EXPECT_GT(moved, static_cast<int64_t>(theirs.size()) * 3 / 4) << "gradients that are not there agree too";
}

std::string shown_name(const testing::TestParamInfo<std::string>& one) { return one.param; }
INSTANTIATE_TEST_SUITE_P(Each, PublishedGradients,
                         testing::Values("mixtral", "olmoe", "qwen2_moe", "gpt_oss", "deepseek_v3"),
                         shown_name);

}  // namespace gw::test::published_gradients_cases
