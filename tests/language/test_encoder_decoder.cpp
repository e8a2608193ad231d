// Models that read one text and write another: against transformers (tests/language/make_language_golden.py),
// against differences, and against themselves alone.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/language/encoder_decoder_model.h"
#include "gatewright/language/generate.h"
#include "gatewright/language/save_language_model.h"
#include "gatewright/models/safetensors.h"
#include "gatewright/ops/random.h"

namespace gw::test::encoder_decoder_cases {

namespace fs = std::filesystem;
const std::string kGolden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";

std::string fresh(const std::string& name) {
  const auto path = fs::path(testing::TempDir()) / ("gw_pair_" + name);
  fs::remove_all(path);
  return path.string();
}

void expect_close(const at::Tensor& a, const at::Tensor& b, double tolerance, const char* what) {
  ASSERT_EQ(a.sizes(), b.sizes()) << what;
  EXPECT_LE((a - b).abs().max().item<double>(), tolerance) << what;
}

class Pair : public testing::TestWithParam<std::string> {
 protected:
  EncoderDecoderModel model_ = load_encoder_decoder(kGolden + GetParam());
  SafetensorsFile expected_ = load_safetensors(kGolden + GetParam() + "/expected.safetensors");

  const at::Tensor& source() { return expected_.tensor("source"); }
  const at::Tensor& text() { return expected_.tensor("text"); }
  EncoderDecoder::Source read(const at::Tensor& id) { return model_.network->encode(id, {id.size(0)}); }
};

TEST_P(Pair, AnswersAsPublished) {
  const auto whole = read(source());
  expect_close(whole.memory, expected_.tensor("memory"), 1e-4, "memory");
  expect_close(model_.network->forward({text(), {text().size(0)}}, whole).logits, expected_.tensor("logits"),
               1e-4, "logits");
  const auto part = read(source().narrow(0, 0, 5));
  expect_close(model_.network->forward({text().narrow(0, 0, 3), {3}}, part).logits, expected_.tensor("short"),
               1e-4, "short text");
}

// The rooms of the golden checkpoints are too small: tokens that find none are among the routes.
TEST_P(Pair, ChoosesThePublishedExperts) {
  const auto whole = read(source());
  auto plans = whole.plans;
  for (auto& plan : model_.network->forward({text(), {text().size(0)}}, whole).plans) plans.push_back(plan);
  size_t routed = 0;
  while (expected_.tensors.count("routes" + std::to_string(routed)) > 0) ++routed;
  ASSERT_EQ(plans.size(), routed);
  int64_t lost = 0;
  for (size_t i = 0; i < routed; ++i) {
    const auto& theirs = expected_.tensor("routes" + std::to_string(i));
    const auto ours = dense_weights(plans[i].plan).gt(0).to(at::kLong);
    EXPECT_TRUE(at::equal(ours, theirs)) << plans[i].site;
    lost += theirs.sum(1).eq(0).sum().item<int64_t>();
  }
  if (GetParam() != "nllb_moe") {
    EXPECT_GT(lost, 0);
  }
  EXPECT_EQ(plans.front().site.rfind("encoder.layer", 0), 0) << plans.front().site;
  EXPECT_EQ(plans.back().site.rfind("decoder.layer", 0), 0) << plans.back().site;
}

TEST_P(Pair, WritesAsPublished) {
  const auto& greedy = expected_.tensor("greedy");
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < source().size(0); ++i)
    ids.push_back(static_cast<int32_t>(source()[i].item<int64_t>()));
  GenerateOptions options;
  options.most = greedy.size(0) - 1;
  std::vector<int64_t> got{model_.network->options().start};
  const auto report = generate(
      *model_.network, ids, options, [&](const NewToken& token) { return got.push_back(token.id), true; },
      [] { return 0.0; });
  EXPECT_TRUE(at::equal(at::tensor(got, at::kLong), greedy)) << at::tensor(got, at::kLong) << greedy;
  EXPECT_EQ(report.prompt, source().size(0));
  EXPECT_EQ(report.added, options.most);
  // What the text begins with is not an answer, but what comes is.
  options.begin = {static_cast<int32_t>(got[1]), static_cast<int32_t>(got[2])}, options.most = 2;
  std::vector<int64_t> more;
  generate(
      *model_.network, ids, options, [&](const NewToken& token) { return more.push_back(token.id), true; },
      [] { return 0.0; });
  EXPECT_EQ(more, (std::vector<int64_t>{got[3], got[4]}));
  EXPECT_THROW(generate(*model_.network, {}, options, {}, [] { return 0.0; }), ValueError);
}

// Sources and texts have the same bits alone and among others, whose tokens take no room from them.
TEST_P(Pair, TextsDoNotSeeEachOther) {
  auto& network = *model_.network;
  const auto b = source().flip(0).narrow(0, 0, 9), c = text().narrow(0, 0, 6);
  const auto alone = network.forward({text(), {text().size(0)}}, read(source())).logits;
  const auto both = network.encode(at::cat({b, source()}), {9, source().size(0)});
  EXPECT_TRUE(at::equal(both.memory.narrow(0, 9, source().size(0)), read(source()).memory));
  const auto logits = network.forward({at::cat({c, text()}), {6, text().size(0)}}, both).logits;
  EXPECT_TRUE(at::equal(logits.narrow(0, 6, text().size(0)), alone));
  const auto twice = network.encode(at::cat({source(), source()}), {source().size(0), source().size(0)});
  const auto pair =
      network.forward({at::cat({text(), text()}), {text().size(0), text().size(0)}}, twice).logits;
  expect_close(pair.narrow(0, text().size(0), text().size(0)), alone, 1e-5, "a batch of one length");
}

TEST_P(Pair, ReadsBackBitByBit) {
  const auto folder = fresh(GetParam());
  save_encoder_decoder(model_, folder);
  const auto before = load_safetensors(kGolden + GetParam() + "/model.safetensors").tensors;
  const auto after = load_safetensors(folder + "/model.safetensors").tensors;
  // Untied, the shared embeddings are of no use and not written.
  ASSERT_EQ(before.size(), after.size() + (model_.network->options().apart ? 1 : 0));
  for (const auto& [name, tensor] : after) EXPECT_TRUE(at::equal(tensor, before.at(name))) << name;
  const auto again = load_encoder_decoder(folder);
  const auto logits = [&](EncoderDecoder& network) {
    return network.forward({text(), {text().size(0)}}, network.encode(source(), {source().size(0)})).logits;
  };
  EXPECT_TRUE(at::equal(logits(*again.network), logits(*model_.network)));
  const auto shards = fresh(GetParam() + "_shards");
  save_encoder_decoder(model_, shards, {"bf16", 4000});
  ASSERT_TRUE(fs::exists(shards + "/model.safetensors.index.json"));
  const auto whole = load_encoder_decoder(kGolden + GetParam(), {"bf16"}),
             sharded = load_encoder_decoder(shards);
  for (const auto& item : whole.network->named_parameters())
    EXPECT_TRUE(at::equal(item.value().to(at::kBFloat16),
                          sharded.network->named_parameters()[item.key()].to(at::kBFloat16)))
        << item.key();
  EXPECT_THROW(save_encoder_decoder(model_, shards), ValueError);
}

// All tokens to one expert: a route that flips under rounding moves everything that comes after.
TEST_P(Pair, RoundedWeightsStayNear) {
  Pass pass;
  pass.forced_expert = 1;
  const auto answer = [&](EncoderDecoder& network) {
    return network
        .forward({text(), {text().size(0)}}, network.encode(source(), {source().size(0)}, pass), pass)
        .logits;
  };
  const auto exact = answer(*model_.network);
  for (const auto& [weights, tolerance] : {std::pair{"f32", 1e-6}, {"bf16", 0.25}, {"int8", 0.25}}) {
    const auto held = load_encoder_decoder(kGolden + GetParam(), {weights});
    // Scores without a scale are large, and what is rounded in them moves single tokens by more than the
    // mean.
    const double mean = (answer(*held.network) - exact).abs().mean().item<double>();
    EXPECT_LE(mean, tolerance * exact.std().item<double>()) << weights;
    EXPECT_GT(held.report.bytes, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Every, Pair,
                         testing::Values("switch_transformers", "switch_transformers_untied", "nllb_moe"),
                         [](const auto& test) { return test.param; });

// exp of the mean loss of the written tokens, each pair for itself; what a text begins with is not scored.
TEST_P(Pair, PerplexityIsThatOfTheWrittenTokens) {
  const at::NoGradGuard no_grad;  // as perplexity: products that are recorded have other bits
  const auto ids = [](const at::Tensor& t, int64_t first, int64_t count) {
    std::vector<int32_t> out;
    for (int64_t i = first; i < first + count; ++i) out.push_back(static_cast<int32_t>(t[i].item<int64_t>()));
    return out;
  };
  auto& network = *model_.network;
  const std::vector<int32_t> begin{5};
  const std::vector<TextPair> pairs{{ids(source(), 0, 6), ids(text(), 1, 4)},
                                    {ids(source(), 2, 5), ids(text(), 2, 2)}};
  double nats = 0;
  for (const auto& pair : pairs) {
    std::vector<int64_t> before{network.options().start, 5};
    before.insert(before.end(), pair.text.begin(), pair.text.end() - 1);
    const std::vector<int64_t> reads(pair.source.begin(), pair.source.end());
    const auto read = network.encode(at::tensor(reads, at::kLong), {static_cast<int64_t>(reads.size())});
    const auto logits =
        network.forward({at::tensor(before, at::kLong), {static_cast<int64_t>(before.size())}}, read).logits;
    const auto chance = at::log_softmax(logits.to(at::kDouble), 1);
    for (size_t i = 0; i < pair.text.size(); ++i)
      nats -= chance[static_cast<int64_t>(i) + 1][pair.text[i]].item<double>();
  }
  const auto got = perplexity(network, pairs, begin);
  EXPECT_NEAR(got.value, std::exp(nats / 6), 1e-9 * got.value);
  EXPECT_EQ(got.scored, 6);
  EXPECT_EQ(got.chunks, 2);
  EXPECT_THROW(perplexity(network, {}, begin), ValueError);
  EXPECT_THROW(perplexity(network, {{{}, {1}}}, begin), ValueError);
  EXPECT_THROW(perplexity(network, {{{1}, {}}}, begin), ValueError);
}

/// A copy of the golden checkpoint with other tensors or another config.
std::string changed(const std::function<void(SafetensorsFile&, Json&)>& change) {
  const auto folder = fresh("changed");
  fs::create_directories(folder);
  auto file = load_safetensors(kGolden + "switch_transformers/model.safetensors");
  auto config = Json::parse(read_file(kGolden + "switch_transformers/config.json", 1 << 20));
  change(file, config);
  save_safetensors(folder + "/model.safetensors", file);
  write_atomic(folder + "/config.json", config.dump());
  return folder;
}

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const ValueError& error) {
    return error.what();
  }
  return "";
}

TEST(EncoderDecoderFiles, WhatDoesNotFitIsNamed) {
  const auto refused = [](const std::function<void(SafetensorsFile&, Json&)>& change) {
    return refusal([&] { load_encoder_decoder(changed(change)); });
  };
  const std::string wi = "decoder.block.1.layer.2.mlp.experts.expert_3.wi.weight";
  const auto missing = refused([&](SafetensorsFile& file, Json&) { file.tensors.erase(wi); });
  EXPECT_NE(missing.find(wi), std::string::npos) << missing;
  EXPECT_NE(missing.find("decoder.layer1.mixture.bank.w1"), std::string::npos) << missing;
  const auto over =
      refused([](SafetensorsFile& file, Json&) { file.tensors["encoder.block.9.x"] = at::zeros({2}); });
  EXPECT_NE(over.find("encoder.block.9.x"), std::string::npos) << over;
  const auto head = refused([](SafetensorsFile&, Json& config) { config["tie_word_embeddings"] = false; });
  EXPECT_NE(head.find("lm_head.weight"), std::string::npos) << head;
  const auto shape = refused([](SafetensorsFile&, Json& config) { config["d_ff"] = 13; });
  EXPECT_NE(shape.find("13"), std::string::npos) << shape;
  const auto key = refused([](SafetensorsFile&, Json& config) { config.erase("d_kv"); });
  EXPECT_NE(key.find("d_kv"), std::string::npos) << key;
  const auto family =
      refused([](SafetensorsFile&, Json& config) { config["model_type"] = "switch_transformer"; });
  EXPECT_NE(family.find("did you mean \"switch_transformers\""), std::string::npos) << family;
  for (const char* large : {"vocab_size", "d_model", "num_layers", "d_ff", "num_experts"}) {
    const auto size = refused([&](SafetensorsFile&, Json& config) {
      config[large] = std::string(large) == "num_layers"   ? 4096
                      : std::string(large) == "vocab_size" ? 1 << 24
                                                           : 60000;
      if (std::string(large) == "num_layers") config["d_ff"] = 1 << 20;
    });
    EXPECT_NE(size.find("got files with"), std::string::npos) << large << ": " << size;
  }
  const auto other = refusal([] { load_language_model(kGolden + "switch_transformers"); });
  EXPECT_NE(other.find("reads one text and writes another"), std::string::npos) << other;
  EXPECT_TRUE(is_encoder_decoder(kGolden + "switch_transformers"));
  EXPECT_FALSE(is_encoder_decoder(kGolden + "olmoe"));
  EXPECT_FALSE(is_encoder_decoder(kGolden + "gguf/olmoe.gguf"));
}

// Embeddings that a file holds twice are read once; early files name a table that nothing uses.
TEST(EncoderDecoderFiles, SecondCopiesAreIgnored) {
  const auto folder = changed([](SafetensorsFile& file, Json&) {
    const auto shared = file.tensors.at("shared.weight");
    for (const char* name : {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"})
      file.tensors[name] = shared.clone();
    file.tensors["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] =
        at::zeros({8, 3});
  });
  EXPECT_EQ(load_encoder_decoder(folder).report.ignored.size(), 4);
}

EncoderDecoderOptions small() {
  EncoderDecoderOptions all;
  const Json table = {
      {"vocabulary", 20},
      {"width", 8},
      {"depth", 2},
      {"heads", 2},
      {"head_width", 3},
      {"gated", false},
      {"activation", "gelu"},
      {"positions", "relative"},
      {"relative_buckets", 6},
      {"relative_farthest", 5},
      {"attention_scale", 1.0},
      {"tied", true},
      {"dense_layers", Json::array({0})},
      {"mixture",
       {{"experts", 3},
        {"policy", {{"part", "switch_top1"}, {"capacity", 2}, {"room", "sequence"}, {"jitter", 0.0}}},
        {"bank", {{"part", "mlp"}, {"hidden", 6}, {"activation", "gelu"}}}}}};
  parse_options("encoder", table, all.encoder), parse_options("decoder", table, all.decoder);
  return all;
}

TEST(EncoderDecoder, GradientsAreThoseOfDifferences) {
  EncoderDecoder network(small());
  network.to(torch::kDouble);
  const auto source = ops::uniform(Rng(1), {9}, 0, 20).to(at::kLong),
             text = ops::uniform(Rng(2), {7}, 0, 20).to(at::kLong);
  const auto weight = ops::normal(Rng(5), {7, 20}, 0, 1).to(at::kDouble);
  const auto loss = [&] {
    const auto read = network.encode(source, {4, 5});
    return (network.forward({text, {4, 3}}, read).logits.to(at::kDouble) * weight).sum();
  };
  loss().backward();
  for (const auto& item : network.named_parameters()) {
    if (item.key().find("gate.weight") != std::string::npos) continue;  // f32 in every layer
    const auto gradient = item.value().grad();
    ASSERT_TRUE(gradient.defined()) << item.key();
    auto flat = item.value().detach().view({-1});
    const int64_t at = std::get<1>(gradient.view({-1}).abs().max(0)).item<int64_t>();
    const double value = flat[at].item<double>(), step = 1e-6;
    const at::NoGradGuard no_grad;
    flat[at] = value + step;
    const double above = loss().item<double>();
    flat[at] = value - step;
    const double below = loss().item<double>();
    flat[at] = value;
    const double expected = (above - below) / (2 * step), got = gradient.view({-1})[at].item<double>();
    EXPECT_NEAR(got, expected, 1e-5 * std::max(1.0, std::abs(expected))) << item.key();
  }
}

TEST(EncoderDecoder, RefusesWhatDoesNotFit) {
  EncoderDecoder network(small());
  const auto ids = at::zeros({4}, at::kLong);
  const auto read = network.encode(ids, {4});
  EXPECT_THROW(network.encode(ids, {5}), ValueError);
  EXPECT_THROW(network.encode(ids + 20, {4}), ValueError);
  EXPECT_THROW(network.forward({ids, {2, 2}}, read), ValueError);  // two texts about one source
  EXPECT_THROW(network.decoder().forward({ids, {4}}), ValueError);
  auto options = small();
  options.encoder.width = 10;
  EXPECT_THROW(EncoderDecoder{options}, ValueError);
  options = small(), options.start = 20;
  EXPECT_THROW(EncoderDecoder{options}, ValueError);
  Decoder plain([] {
    DecoderOptions o;
    o.vocabulary = 20, o.width = 8, o.heads = 2;
    return o;
  }());
  EXPECT_THROW(plain.forward({ids, {4}}, {}, &read.rows), ValueError);
}

}  // namespace gw::test::encoder_decoder_cases
