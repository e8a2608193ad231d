// Models that multiply from the blocks of GGUF files: the same model as the expanded one, in fewer bytes.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/base/json_text.h"
#include "gatewright/language/checkpoint/gguf.h"
#include "gatewright/language/generate.h"
#include "gatewright/language/language_model.h"
#include "gatewright/language/model_view.h"
#include "gatewright/language/save_gguf.h"
#include "gatewright/language/save_language_model.h"

namespace gw::test::gguf_codes_cases {

const std::string kGolden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";

// Blocks of 32 values have the scales of the file; products of two factors are rounded to f16.
TEST(GgufCodes, EveryTypeOfBlocksHasItsValues) {
  const auto path = kGolden + "gguf/blocks.gguf";
  const auto bytes = read_file(path, 1 << 20);
  int types = 0;
  for (const auto& [name, tensor] : parse_gguf(bytes, path).tensors) {
    const auto* type = tensor.type->blocks;
    if (type == nullptr) continue;
    ++types;
    EXPECT_EQ(name, type->name);
    ops::CodedMatrix m;
    m.form = ops::FewBits::blocks, m.type = type, m.out = 3;
    m.codes = at::empty({3, 512 / type->values, type->bytes}, at::kByte);
    ASSERT_EQ(m.codes.nbytes(), tensor.bytes);
    std::memcpy(m.codes.data_ptr(), bytes.data() + tensor.offset, tensor.bytes);
    auto expanded = at::empty({3, 512});
    for (int64_t i = 0; i < expanded.numel() / type->values; ++i)
      tensor.type->expand(m.codes.data_ptr<uint8_t>() + i * type->bytes,
                          expanded.data_ptr<float>() + i * type->values);
    const auto values = ops::coded_values(m);
    if (type->values == 32) {
      EXPECT_TRUE(at::equal(values, expanded)) << name;
    } else {
      const auto off = (values - expanded).abs(), most = expanded.abs().view({3, -1, 16}).amax(2);
      EXPECT_LE((off / (most.repeat_interleave(16, 1) + 1e-3)).max().item<double>(), 1e-3) << name;
    }
  }
  EXPECT_EQ(types, 7);
}

/// A drawn model whose rows are whole blocks, as a GGUF file of Q8_0.
std::string written(const std::string& family) {
  auto config = read_json(kGolden + family + "/config.json");
  config["hidden_size"] = 64, config["intermediate_size"] = 96, config["head_dim"] = 16;
  config["num_key_value_heads"] = 2, config["vocab_size"] = 500;
  config["attention_bias"] = config["mlp_bias"] = false;
  auto options = make_family(family)->options({config, "the test's config"});
  options.drawn = true;
  const LanguageModel model{std::make_shared<Decoder>(options), family, "", config, nullptr, {}};
  const auto path = testing::TempDir() + "/gw_codes_" + family + ".gguf";
  save_gguf(model, path, "q8_0");
  return path;
}

class KeptFile : public testing::TestWithParam<std::string> {};
std::string shown_family(const testing::TestParamInfo<std::string>& one) { return one.param; }
INSTANTIATE_TEST_SUITE_P(Each, KeptFile, testing::Values("mixtral", "llama", "granitemoe"), shown_family);

at::Tensor some_ids(int64_t n) { return (at::arange(n, at::kLong) * 37 + 5) % 500; }

TEST_P(KeptFile, IsTheSameModel) {
  const auto path = written(GetParam());
  const auto file = load_language_model(path), kept = load_language_model(path, {"keep"});
  const auto ids = some_ids(40);
  EXPECT_TRUE(at::equal(kept.decoder->embedded(ids), file.decoder->embedded(ids)));
  const auto want = file.decoder->forward({ids, {40}}).logits,
             got = kept.decoder->forward({ids, {40}}).logits;
  // 16 bits beside codes of 8: what is left is rounding of 2^-16 a block.
  EXPECT_LE((got - want).abs().max().item<double>(), 2e-3 * want.abs().max().item<double>());
  EXPECT_FALSE(at::equal(got, want)) << "expanded";
  EXPECT_EQ(kept.report.parameters, file.report.parameters);
}

TEST_P(KeptFile, ATextHasItsBitsAmongOthersAndGoesOnTokenByToken) {
  const auto kept = load_language_model(written(GetParam()), {"keep"});
  const auto ids = some_ids(30);
  const auto all = kept.decoder->forward({ids, {10, 20}}).logits;
  const auto alone = kept.decoder->forward({ids.narrow(0, 10, 20), {20}}).logits;
  EXPECT_TRUE(at::equal(all.narrow(0, 10, 20), alone));
  DecoderState state;
  for (int64_t i = 10; i < 30; ++i) {
    const auto one = kept.decoder->forward({ids.narrow(0, i, 1), {1}, {&state}}).logits;
    // Sums of attention differ in their order, and values on an edge may round to the other side.
    EXPECT_LE((one[0] - all[i]).abs().max().item<double>(), 1e-3 * all.abs().max().item<double>()) << i;
  }
}

TEST_P(KeptFile, TakesTheBytesThatInspectSays) {
  const auto path = written(GetParam());
  const auto kept = load_language_model(path, {"keep"}), file = load_language_model(path);
  EXPECT_LT(kept.report.bytes, file.report.bytes / 2);
  const auto view = view_language_model(path);
  const auto held = std::find_if(view.held.begin(), view.held.end(),
                                 [](const HeldView& one) { return one.weights == "keep"; });
  ASSERT_NE(held, view.held.end());
  EXPECT_EQ(held->bytes, kept.report.bytes);
}

TEST(GgufCodes, AKeptModelIsNotWrittenAgain) {
  const auto kept = load_language_model(written("mixtral"), {"keep"});
  EXPECT_THROW(save_gguf(kept, testing::TempDir() + "/gw_codes_again.gguf", "q8_0"), ValueError);
  EXPECT_THROW(save_language_model(kept, testing::TempDir() + "/gw_codes_again"), ValueError);
}

}  // namespace gw::test::gguf_codes_cases
