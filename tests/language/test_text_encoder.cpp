// Encoders of sentences: BERT's form against its equations, copies that are the original, and who serves
// whom.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>
#include <filesystem>

#include "gatewright/base/file.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/text_encoder.h"
#include "gatewright/models/model.h"
#include "gatewright/models/safetensors.h"
#include "gatewright/ops/random.h"
#include "tests/runs/scratch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/refusal.h"

namespace gw::test::text_encoder_cases {

constexpr int64_t kWords = 11, kWidth = 6, kHeads = 2, kHidden = 7, kDepth = 2, kPlaces = 9;

Json bert_config() {
  return {
      {"model_type", "bert"},        {"vocab_size", kWords},          {"hidden_size", kWidth},
      {"num_hidden_layers", kDepth}, {"num_attention_heads", kHeads}, {"intermediate_size", kHidden},
      {"hidden_act", "gelu"},        {"layer_norm_eps", 1e-12},       {"max_position_embeddings", kPlaces},
      {"type_vocab_size", 2}};
}

/// Drawn tensors under the names of published files, with `prefix` before those of the stack.
SafetensorsFile bert_tensors(const std::string& prefix) {
  SafetensorsFile file;
  uint64_t seed = 0;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, double mean = 0) {
    file.tensors[prefix + name] = ops::normal(Rng(++seed), shape, mean, 0.5);
  };
  const auto both = [&](const std::string& name, int64_t out, int64_t in) {
    if (in > 0)
      add(name + ".weight", {out, in});
    else
      add(name + ".weight", {out}, 1);
    add(name + ".bias", {out});
  };
  add("embeddings.word_embeddings.weight", {kWords, kWidth});
  add("embeddings.position_embeddings.weight", {kPlaces, kWidth});
  add("embeddings.token_type_embeddings.weight", {2, kWidth});
  both("embeddings.LayerNorm", kWidth, 0);
  for (int64_t i = 0; i < kDepth; ++i) {
    const auto layer = fmt::format("encoder.layer.{}.", i);
    for (const char* part : {"self.query", "self.key", "self.value", "output.dense"})
      both(layer + "attention." + part, kWidth, kWidth);
    both(layer + "attention.output.LayerNorm", kWidth, 0), both(layer + "output.LayerNorm", kWidth, 0);
    both(layer + "intermediate.dense", kHidden, kWidth), both(layer + "output.dense", kWidth, kHidden);
  }
  both("pooler.dense", kWidth, kWidth);
  return file;
}

std::string written(const Scratch& scratch, const Json& config, const SafetensorsFile& file) {
  const auto folder = scratch / "bert";
  std::filesystem::create_directories(folder);
  write_file(folder + "/config.json", config.dump());
  save_safetensors(folder + "/model.safetensors", file);
  return folder;
}

/// The vector of one text, in f64 and one query at a time.
at::Tensor plain(const SafetensorsFile& file, const std::vector<int64_t>& ids) {
  const auto get = [&](const std::string& name) { return file.tensors.at(name).to(at::kDouble); };
  const auto through = [&](const at::Tensor& x, const std::string& name) {
    return at::matmul(x, get(name + ".weight").t()) + get(name + ".bias");
  };
  const auto norm = [&](const at::Tensor& x, const std::string& name) {
    const auto centred = x - x.mean(-1, true);
    return centred / (centred.square().mean(-1, true) + 1e-12).sqrt() * get(name + ".weight") +
           get(name + ".bias");
  };
  const auto n = static_cast<int64_t>(ids.size()), width = kWidth / kHeads;
  auto x = get("embeddings.word_embeddings.weight").index_select(0, at::tensor(ids, at::kLong)) +
           get("embeddings.position_embeddings.weight").narrow(0, 0, n) +
           get("embeddings.token_type_embeddings.weight")[0];
  x = norm(x, "embeddings.LayerNorm");
  for (int64_t i = 0; i < kDepth; ++i) {
    const auto layer = fmt::format("encoder.layer.{}.", i);
    const auto heads = [&](const char* part) {
      return through(x, layer + "attention.self." + part).view({n, kHeads, width});
    };
    const auto q = heads("query"), k = heads("key"), v = heads("value");
    std::vector<at::Tensor> seen;
    for (int64_t h = 0; h < kHeads; ++h) {
      const auto score =
          at::matmul(q.select(1, h), k.select(1, h).t()) / std::sqrt(static_cast<double>(width));
      seen.push_back(at::matmul(at::softmax(score, 1), v.select(1, h)));
    }
    x = norm(x + through(at::cat(seen, 1), layer + "attention.output.dense"),
             layer + "attention.output.LayerNorm");
    const auto up = through(x, layer + "intermediate.dense");
    const auto hidden = up * 0.5 * (1 + at::erf(up / std::sqrt(2.0)));
    x = norm(x + through(hidden, layer + "output.dense"), layer + "output.LayerNorm");
  }
  return x.mean(0);
}

const std::vector<int64_t> kFirst{3, 0, 10, 7}, kSecond{5, 5, 1, 2, 9, 4, 8};

TextTokens both_texts() {
  auto all = kFirst;
  all.insert(all.end(), kSecond.begin(), kSecond.end());
  return {at::tensor(all, at::kLong),
          {static_cast<int64_t>(kFirst.size()), static_cast<int64_t>(kSecond.size())}};
}

TEST(TextEncoder, IsBert) {
  const auto expected = bert_tensors("");
  for (const char* prefix : {"", "bert."}) {
    const Scratch scratch;
    const auto encoder = load_text_encoder(written(scratch, bert_config(), bert_tensors(prefix)));
    encoder->to(at::kDouble);
    const auto got = encoder->forward(both_texts()).vector;
    ASSERT_EQ(got.sizes(), (std::vector<int64_t>{2, kWidth}));
    EXPECT_LE((got[0] - plain(expected, kFirst)).abs().max().item<double>(), 1e-9) << prefix;
    EXPECT_LE((got[1] - plain(expected, kSecond)).abs().max().item<double>(), 1e-9) << prefix;
  }
}

// tests/language/make_language_golden.py bert: what transformers answers to a folder that it wrote.
TEST(TextEncoder, AnswersAsTransformers) {
  const std::string folder = std::string(GW_SOURCE_ROOT) + "tests/language/golden/bert";
  const auto expected = load_safetensors(folder + "/expected.safetensors");
  const auto lengths = expected.tensor("lengths");
  const auto got =
      load_text_encoder(folder)
          ->forward({expected.tensor("ids"), {lengths[0].item<int64_t>(), lengths[1].item<int64_t>()}})
          .vector;
  EXPECT_LE((got - expected.tensor("vectors")).abs().max().item<double>(), 1e-5);
  EXPECT_GT(expected.tensor("vectors").std().item<double>(), 0.1);
}

TEST(TextEncoder, GradientsAreThoseOfDifferences) {
  const Scratch scratch;
  const auto encoder = load_text_encoder(written(scratch, bert_config(), bert_tensors("")));
  encoder->to(at::kDouble);
  const auto value = [&] { return project({encoder->forward(both_texts()).vector}); };
  const auto parameters = encoder->parameters();
  const auto analytic = torch::autograd::grad({value()}, parameters);
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const int64_t step = std::max<int64_t>(1, parameters[i].numel() / 5);
    const auto gradient = analytic[i].contiguous();
    for (int64_t j = 0; j < parameters[i].numel(); j += step)
      EXPECT_LE(difference_error(parameters[i].data_ptr<double>()[j], gradient.data_ptr<double>()[j],
                                 [&] { return value().item<double>(); }),
                1e-6)
          << i << " " << j;
  }
}

TEST(TextEncoder, FoldersThatDoNotFitAreRefused) {
  const auto refused = [](const Json& change, const std::string& drop, const std::string& more) {
    const Scratch scratch;
    auto config = bert_config();
    config.update(change);
    auto file = bert_tensors("");
    file.tensors.erase(drop);
    if (!more.empty()) file.tensors[more] = at::zeros({2});
    const auto folder = written(scratch, config, file);
    return refusal<ValueError>([&] { load_text_encoder(folder); });
  };
  expect_part(refused({{"model_type", "mixtral"}}, "", ""), "expected the model_type bert");
  expect_part(refused({{"position_embedding_type", "relative_key"}}, "", ""), "absolute positions");
  expect_part(refused({}, "encoder.layer.1.output.dense.weight", ""), "encoder.layer.1.output.dense.weight");
  expect_part(refused({}, "", "encoder.layer.0.surprise"), "encoder.layer.0.surprise");
  expect_part(refused({{"hidden_size", 8}}, "", ""), "got");
  const Scratch scratch;
  const auto encoder = load_text_encoder(written(scratch, bert_config(), bert_tensors("")));
  const TextTokens longer{at::zeros({kPlaces + 1}, at::kLong), {kPlaces + 1}};
  expect_part(refusal<ValueError>([&] { encoder->forward(longer); }), "texts of at most 9 tokens, got 10");
}

TEST(TextEncoder, EmbeddingsAreDrawnAsWideAsTheyAreAskedFor) {
  const auto embedding = [](double deviation) {
    DecoderOptions options;
    options.vocabulary = 200, options.width = 16, options.embedding_deviation = deviation;
    return TextEncoder(options).named_parameters()["embedding"].clone();
  };
  const auto wide = embedding(1), narrow = embedding(0.1);
  EXPECT_NEAR(wide.std().item<double>(), 1, 0.05);
  EXPECT_LE((narrow - wide * 0.1).abs().max().item<double>(), 1e-6) << "the same draws";
}

/// Experts that are copies answer as the perceptron that they are copies of.
TEST(TextEncoder, CopiesAreTheOriginal) {
  const Scratch scratch;
  const auto dense = load_text_encoder(written(scratch, bert_config(), bert_tensors("")));
  const at::NoGradGuard no_grad;
  const auto texts = both_texts();
  const auto expected = dense->forward(texts).vector;
  const auto mixture = [&](const Json& gate, const Json& policy) {
    auto options = dense->options();
    options.drawn = true;
    options.mixture = Json{
        {"experts", 3}, {"gate", gate}, {"policy", policy}, {"bank", dense->options().perceptron().json()}};
    TextEncoder made(options, dense->kinds());
    made.eval();
    take_copies(made, *dense);
    RouterInputs known;
    known.route = at::arange(texts.id.size(0), at::kLong).remainder(3);
    return made.forward(texts, {}, known).vector;
  };
  EXPECT_TRUE(at::equal(mixture("linear", {{"part", "given"}}), expected)) << "given routes: the same bits";
  const Json two{{"part", "softmax_top_k"}, {"k", 2}, {"renormalise", true}};
  EXPECT_LE((mixture("linear", two) - expected).abs().max().item<double>(), 1e-5);
  EXPECT_LE((mixture("sequence", two) - expected).abs().max().item<double>(), 1e-5);
}

std::shared_ptr<Model> sentence_encoder(Json options = Json::object(), int64_t domains = 2) {
  Model::Context context;
  context.data.vocabulary = 20, context.data.context = 5, context.data.domains = domains;
  context.answer = {2, false, {{"text", 1}, {"other", 1}}}, context.seed = 4;
  Json all{{"width", 8}, {"depth", 2}, {"heads", 2}, {"hidden", 12}};
  all.update(options);
  auto made = make_part<Model>("sentence_encoder", all, context);
  made->eval();
  return made;
}

const Json kByDomain{{"mixture", {{"experts", 2}, {"policy", "given"}}}};

Batch first_of(const Batch& all, int64_t first, int64_t count) {
  Batch some = all;
  for (auto& item : some.fields) item.second = item.second.narrow(0, first, count);
  some.index = all.index.narrow(0, first, count);
  return some;
}

TEST(SentenceEncoder, BothTextsOfAPairGoToTheirDomainsExpert) {
  const auto model = sentence_encoder(kByDomain);
  const at::NoGradGuard no_grad;
  const auto batch = model->example(6, Rng(1));
  const auto out = model->answer(batch, {});
  ASSERT_EQ(out.answer.sizes(), (std::vector<int64_t>{6, 2, 8}));
  ASSERT_EQ(out.plans.size(), 2);
  for (const auto& [site, plan] : out.plans) {
    const auto chosen = chosen_experts(plan).view({6, 2 * 5});
    EXPECT_TRUE(at::equal(chosen, batch.at("domain").unsqueeze(1).expand({6, 10}))) << site;
  }
  // The cosines of all texts with themselves are 1, times the factor.
  EXPECT_LE((out.answer.square().sum(2) - 20).abs().max().item<double>(), 1e-4);
  for (int64_t i = 0; i < 6; ++i)
    EXPECT_TRUE(at::equal(model->answer(first_of(batch, i, 1), {}).answer[0], out.answer[i])) << i;
}

TEST(SentenceEncoder, SpecialistsReadTheirOwnDomain) {
  const auto model = sentence_encoder({{"specialists", true}});
  const at::NoGradGuard no_grad;
  const auto batch = model->example(5, Rng(2));
  const auto before = model->answer(batch, {}).answer;
  for (auto& item : model->named_parameters())
    if (item.key().rfind("specialist1.", 0) == 0) item.value().mul_(1.5);
  const auto moved = (model->answer(batch, {}).answer - before).abs().amax({1, 2});
  for (int64_t i = 0; i < 5; ++i)
    EXPECT_EQ(moved[i].item<double>() > 0, batch.at("domain")[i].item<int64_t>() == 1) << i;
  auto strange = batch;
  strange.fields["domain"] = at::full({5}, 2, at::kLong);
  EXPECT_NE(refusal<ValueError>([&] { model->answer(strange, {}); }), "accepted");
}

TEST(SentenceEncoder, StartsFromAnEncoderWithoutExperts) {
  EXPECT_EQ(sentence_encoder()->copied_name("encoder.layer0.mixture.bank.w1"), "encoder.layer0.dense.w1");
  EXPECT_EQ(sentence_encoder()->copied_name("model/specialist12.layer0.norm.bias"),
            "model/encoder.layer0.norm.bias");
  EXPECT_EQ(sentence_encoder()->copied_name("log_factor"), "log_factor");
}

TEST(SentenceEncoder, RefusesWhatItCannotDo) {
  const auto refused = [](const Json& options, int64_t domains = 2) {
    return refusal<ValueError>([&] { sentence_encoder(options, domains); });
  };
  expect_part(refused({{"specialists", true}}, 0), "data with domains");
  expect_part(refused({{"specialists", true}, {"mixture", {{"experts", 2}}}}), "no mixture for specialists");
  expect_part(refused({{"mixture", {{"experts", 2}, {"bank", "mlp"}}}}), "copies of the perceptron");
  expect_part(refused({{"similarity", "cosin"}}), "cosine");
  const auto model = sentence_encoder();
  auto batch = model->example(3, Rng(3));
  batch.fields["other"] = batch.at("other").narrow(1, 0, 4);
  expect_part(refusal<ValueError>([&] { model->answer(batch, {}); }), "of one length");
}

}  // namespace gw::test::text_encoder_cases
