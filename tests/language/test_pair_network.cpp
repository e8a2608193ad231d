// The network of an encoder and a decoder that trainings see: padding is nothing, texts keep to themselves,
// masks and dropout are their formulas, gradients those of differences.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>

#include "gatewright/base/registry.h"
#include "gatewright/language/encoder_decoder_model.h"
#include "gatewright/language/pair_batch.h"
#include "gatewright/language/save_language_model.h"
#include "gatewright/ops/random.h"
#include "tests/support/refusal.h"

namespace gw::test::pair_network_cases {

constexpr int64_t kWords = 20;

Model::Context context() {
  Model::Context c;
  c.data.vocabulary = kWords, c.data.context = 6, c.data.source_context = 7;
  c.answer = {kWords, true, {}};
  c.seed = 3;
  return c;
}

Json mixture(const Json& policy) {
  return {{"experts", 4},
          {"policy", policy},
          {"bank", {{"part", "mlp"}, {"hidden", 6}, {"activation", "gelu"}}},
          {"balancers", {"gshard"}}};
}
const Json kRoomy{
    {"part", "nllb_top2"}, {"second", "all"}, {"evaluation_fraction", 1.0}, {"capacity_factor", 0.0}};

std::shared_ptr<Model> network(const Json& more = Json::object(), const Json& policy = kRoomy) {
  Json table{{"width", 8},
             {"depth", 2},
             {"heads", 2},
             {"gated", false},
             {"activation", "gelu"},
             {"tied", true},
             {"centred_norm", true},
             {"positions", "sinusoidal"},
             {"embedding_deviation", 0.35},
             {"every", 2},
             {"mixture", mixture(policy)}};
  table.update(more);
  return make_part<Model>("encoder_decoder", table, context());
}

/// Texts of these lengths, `wide` places each.
at::Tensor texts(const std::vector<int64_t>& lengths, int64_t wide, uint64_t seed) {
  const auto rows = static_cast<int64_t>(lengths.size());
  auto ids = ops::uniform(Rng(seed), {rows, wide}, 0, kWords).to(at::kLong);
  const auto place = at::arange(wide, at::kLong).unsqueeze(0);
  return ids.masked_fill(place.ge(at::tensor(lengths, at::kLong).unsqueeze(1)), kNoToken);
}

Batch batch(const std::vector<int64_t>& sources, const std::vector<int64_t>& written, int64_t wide = 7) {
  Batch b;
  b.fields["source_token"] = texts(sources, wide, 1), b.fields["token"] = texts(written, wide, 2);
  b.index = at::arange(static_cast<int64_t>(sources.size()), at::kLong);
  return b;
}

Batch rows_of(const Batch& all, const std::vector<int64_t>& rows) {
  Batch b;
  for (const auto& [name, field] : all.fields)
    b.fields[name] = field.index_select(0, at::tensor(rows, at::kLong));
  b.index = at::arange(static_cast<int64_t>(rows.size()), at::kLong);
  return b;
}

Pass evaluation() {
  Pass pass;
  pass.train = false;
  return pass;
}

TEST(PairNetwork, PaddingIsNothing) {
  const auto model = network();
  const auto narrow = batch({5, 3, 6}, {4, 6, 2}, 6), wide = [&] {
    auto b = narrow;
    for (auto& item : b.fields)
      item.second = at::cat({item.second, at::full({3, 5}, kNoToken, at::kLong)}, 1);
    return b;
  }();
  const auto a = model->answer(narrow, evaluation()), b = model->answer(wide, evaluation());
  EXPECT_TRUE(at::equal(a.answer, b.answer.narrow(1, 0, 6)));
  EXPECT_TRUE(b.answer.narrow(1, 6, 5).eq(0).all().item<bool>());
  ASSERT_EQ(b.plans.size(), 2u);
  EXPECT_EQ(b.plans[0].plan.tokens, 5 + 3 + 6);  // of the encoder: it takes no expert's room
  EXPECT_EQ(b.plans[1].plan.tokens, 4 + 6 + 2);
  EXPECT_EQ(b.plans[0].site, "encoder.layer1");
  EXPECT_EQ(b.plans[1].site, "decoder.layer1");
}

// Room is counted over the tokens that there are: C = 2·ceil(T / E) in training, ceil(share·T) in evaluation.
TEST(PairNetwork, RoomIsThatOfTheTokensThatThereAre) {
  const auto model =
      network(Json::object(), {{"part", "nllb_top2"}, {"second", "all"}, {"evaluation_fraction", 0.25}});
  const auto b = batch({7, 2, 4, 1}, {3, 2, 5, 4}, 30);
  const auto most = [](const RoutingPlan& plan) {
    int64_t rows = 0;
    for (int64_t e = 0; e < plan.experts(); ++e) rows = std::max(rows, plan.rows_of(e));
    return rows;
  };
  Pass training;
  training.train = true;
  for (const auto& [site, plan] : model->answer(b, training).plans)
    EXPECT_LE(most(plan), 8) << site;  // 14 tokens
  for (const auto& [site, plan] : model->answer(b, evaluation()).plans) EXPECT_LE(most(plan), 4) << site;
}

TEST(PairNetwork, APermutedBatchHasPermutedAnswers) {
  const auto model = network();
  const auto b = batch({5, 3, 6, 7}, {4, 6, 2, 5});
  const std::vector<int64_t> order{2, 0, 3, 1};
  const auto expected = model->answer(b, evaluation()).answer.index_select(0, at::tensor(order, at::kLong));
  const auto got = model->answer(rows_of(b, order), evaluation()).answer;
  EXPECT_LE((got - expected).abs().max().item<double>(), 1e-5);
  const auto alone = model->answer(rows_of(b, {2}), evaluation()).answer;
  EXPECT_LE((alone[0] - expected[0]).abs().max().item<double>(), 1e-5);
}

TEST(PairNetwork, TheTextHearsOfItsOwnSourceAndOfNothingLater) {
  const auto model = network();
  auto b = batch({5, 3}, {4, 6});
  const auto before = model->answer(b, evaluation()).answer;
  auto other = b;
  other.fields["source_token"] = b.at("source_token").clone();
  other.fields["source_token"][1][0] = (b.at("source_token")[1][0] + 1).remainder(kWords);
  const auto after = model->answer(other, evaluation()).answer;
  EXPECT_TRUE(at::equal(before[0], after[0]));
  EXPECT_FALSE(at::equal(before[1][0], after[1][0]));  // its first token too: sources are read whole
  auto later = b;
  later.fields["token"] = b.at("token").clone();
  later.fields["token"][1][4] = (b.at("token")[1][4] + 1).remainder(kWords);
  const auto moved = model->answer(later, evaluation()).answer;
  EXPECT_TRUE(at::equal(before[1].narrow(0, 0, 4), moved[1].narrow(0, 0, 4)));
  EXPECT_FALSE(at::equal(before[1][4], moved[1][4]));
}

double difference_at(const std::shared_ptr<Model>& model, const Batch& b, const Pass& pass, at::Tensor flat,
                     int64_t at, const at::Tensor& weight) {
  const at::NoGradGuard no_grad;
  const double value = flat[at].item<double>(), step = 1e-6;
  const auto loss = [&] {
    return (model->answer(b, pass).answer.to(at::kDouble) * weight).sum().item<double>();
  };
  flat[at] = value + step;
  const double above = loss();
  flat[at] = value - step;
  const double below = loss();
  flat[at] = value;
  return (above - below) / (2 * step);
}

// While training, with dropout and masks: equal passes draw the same.
TEST(PairNetwork, GradientsAreThoseOfDifferences) {
  auto policy = kRoomy;
  policy["expert_masking"] = 0.3;
  const auto model = network({{"dropout", 0.2}}, policy);
  model->to(torch::kDouble), model->train();
  const auto b = batch({5, 3}, {4, 6}, 6);
  Pass pass;
  pass.rng = Rng(11);
  const auto weight = ops::normal(Rng(5), {2, 6, kWords}, 0, 1).to(at::kDouble);
  (model->answer(b, pass).answer.to(at::kDouble) * weight).sum().backward();
  size_t checked = 0;
  for (const auto& item : model->named_parameters()) {
    if (item.key().find("gate.weight") != std::string::npos) continue;  // f32 in every layer
    const auto gradient = item.value().grad();
    ASSERT_TRUE(gradient.defined()) << item.key();
    const int64_t at = std::get<1>(gradient.view({-1}).abs().max(0)).item<int64_t>();
    const double expected = difference_at(model, b, pass, item.value().detach().view({-1}), at, weight);
    EXPECT_NEAR(gradient.view({-1})[at].item<double>(), expected, 1e-5 * std::max(1.0, std::abs(expected)))
        << item.key();
    ++checked;
  }
  EXPECT_GT(checked, 30u);
}

TEST(PairNetwork, DropoutIsOfTrainingAndOfTheSeed) {
  const auto plain = network(), dropped = network({{"dropout", 0.5}});
  const auto b = batch({5, 3}, {4, 6});
  EXPECT_TRUE(at::equal(plain->answer(b, evaluation()).answer, dropped->answer(b, evaluation()).answer));
  Pass one, two;
  one.train = two.train = true, one.rng = Rng(1), two.rng = Rng(2);
  EXPECT_TRUE(at::equal(dropped->answer(b, one).answer, dropped->answer(b, one).answer));
  EXPECT_FALSE(at::equal(dropped->answer(b, one).answer, dropped->answer(b, two).answer));
}

/// The layer's own mixture, on its own.
std::shared_ptr<Mixture> layer(double masking) {
  return Mixture::from_json({{"in", 8},
                             {"experts", 4},
                             {"seed", 5},
                             {"policy",
                              {{"part", "nllb_top2"},
                               {"second", "all"},
                               {"evaluation_fraction", 1.0},
                               {"capacity_factor", 0.0},
                               {"expert_masking", masking}}},
                             {"bank", {{"part", "mlp"}, {"hidden", 6}, {"activation", "gelu"}}}});
}

// y = Σ_e m_te · p_te · expert_e(x_t) with m in {0, 1} while training, unscaled; ·(1 − share) in evaluation.
TEST(OutputMasking, ZeroesWholeAnswersOfExperts) {
  const auto plain = layer(0), masked = layer(0.25);
  const auto x = ops::normal(Rng(8), {400, 8}, 0, 1);
  plain->eval(), masked->eval();
  const auto whole = plain->forward(x, Rng(1));
  EXPECT_LE((masked->forward(x, Rng(1)).y - whole.y * 0.75).abs().max().item<double>(), 1e-6);
  masked->train();
  const auto trained = masked->forward(x, Rng(1));
  const auto weight = dense_weights(trained.plan), full = dense_weights(whole.plan);
  const auto gone = weight.eq(0).logical_and(full.gt(0));
  EXPECT_NEAR(gone.sum().item<double>() / full.gt(0).sum().item<double>(), 0.25, 0.05);
  EXPECT_LE((weight - full.masked_fill(gone, 0)).abs().max().item<double>(), 1e-6);
  auto expected = at::zeros_like(whole.y);
  for (int64_t e = 0; e < 4; ++e)
    expected = expected + masked->bank().run_one(x, e) * weight.select(1, e).unsqueeze(1);
  EXPECT_LE((trained.y - expected).abs().max().item<double>(), 1e-5);
}

// y = (1 − g)·shared(x) + g·Σ p_e·expert_e(x), and what balance losses see is the choice among the experts.
TEST(ConditionalRouting, IsAGateBesideASharedExpert) {
  const auto mixed =
      Mixture::from_json({{"in", 8},
                          {"experts", 5},
                          {"seed", 5},
                          {"policy", {{"part", "cmr"}, {"k", 2}, {"budget", 0.6}, {"budget_weight", 2.0}}},
                          {"bank", {{"part", "mlp"}, {"hidden", 6}, {"activation", "gelu"}}},
                          {"balancers", {"gshard"}}});
  mixed->eval();
  const auto x = ops::normal(Rng(8), {50, 8}, 0, 1);
  const auto out = mixed->forward(x, Rng(1));
  const auto scores = out.plan.scores.to(at::kDouble);
  const auto g = at::sigmoid(scores.narrow(1, 0, 1));
  const auto routed = scores.narrow(1, 1, 4);
  const auto [best, chosen] = routed.topk(2, 1);
  const auto p = at::softmax(best, 1);
  auto expected = mixed->bank().run_one(x, 0).to(at::kDouble) * (1 - g);
  for (int64_t e = 0; e < 4; ++e) {
    const auto of = p.masked_fill(chosen.ne(e), 0).sum(1, true);
    expected = expected + mixed->bank().run_one(x, e + 1).to(at::kDouble) * of * g;
  }
  EXPECT_LE((out.y.to(at::kDouble) - expected).abs().max().item<double>(), 1e-5);
  EXPECT_NEAR(out.plan.aux.at("cmr_budget").item<double>(), 2 * std::abs(g.mean().item<double>() - 0.6),
              1e-6);
  const auto first = chosen.select(1, 0);
  double balance = 0;
  for (int64_t e = 0; e < 4; ++e)
    balance += first.eq(e).to(at::kDouble).mean().item<double>() *
               at::softmax(routed, 1).select(1, e).mean().item<double>();
  EXPECT_NEAR(out.plan.aux.at("gshard").item<double>(), 0.01 * 5 * balance, 1e-6);
}

// Layers that drew the same would mask the same tokens' experts in all of them.
TEST(PairNetwork, LayersDrawApart) {
  auto policy = kRoomy;
  policy["expert_masking"] = 0.5;
  const auto model = network({{"every", 1}}, policy);
  const auto b = batch({7, 7, 7, 7, 7, 7}, {7, 7, 7, 7, 7, 7});
  Pass pass;
  pass.train = true, pass.rng = Rng(2);
  const auto plans = model->answer(b, pass).plans;
  ASSERT_EQ(plans.size(), 4u);
  const auto kept = [](const RoutingPlan& plan) {  // how many of a token's two experts were not masked
    return dense_weights(plan).gt(0).sum(1);
  };
  EXPECT_FALSE(at::equal(kept(plans[0].plan), kept(plans[1].plan)));
  EXPECT_FALSE(at::equal(kept(plans[2].plan), kept(plans[3].plan)));
  EXPECT_FALSE(at::equal(kept(plans[0].plan), kept(plans[2].plan)));
}

TEST(PairNetwork, RefusesWhatDoesNotFit) {
  const auto model = network();
  const auto said = [&](const std::function<void(Batch&)>& change) {
    auto b = batch({5, 3}, {4, 6});
    change(b);
    return refusal<ValueError>([&] { model->answer(b, evaluation()); });
  };
  expect_part(said([](Batch& b) { b.fields.erase("source_token"); }), "source_token");
  expect_part(said([](Batch& b) { b.fields["token"] = b.fields["token"].to(at::kFloat); }), "[B, T] int64");
  expect_part(said([](Batch& b) { b.fields["source_token"][0].fill_(kNoToken); }), "at least one token");
  expect_part(said([](Batch& b) { b.fields["token"][1][0] = kNoToken; }), "behind their ends alone");
  expect_part(said([](Batch& b) { b.fields["token"][1][0] = kWords; }), "expected ids in [0, 20), got 20");
  expect_part(said([](Batch& b) { b.fields["token"][1][0] = -7; }), "got -7");
  expect_part(said([](Batch& b) { b.fields["source_token"] = b.fields["source_token"].narrow(0, 0, 1); }),
              "a source for each of 2 texts, got 1");
  auto c = context();
  c.data.source_context = 0;
  expect_part(refusal<ValueError>([&] { make_part<Model>("encoder_decoder", Json::object(), c); }),
              "translations");
  expect_part(refusal<ValueError>([] { network({{"adapters", {{"experts", 2}}}}); }), "expected no adapters");
  EXPECT_THROW(network({{"start", kWords}}), ValueError);
  EXPECT_THROW(network({{"dropout", 1.0}}), ValueError);
}

TEST(PairNetwork, ExamplesAreOfTheDatasShape) {
  const auto model = network();
  const auto b = model->example(3, Rng(1));
  EXPECT_EQ(b.at("source_token").sizes(), (std::vector<int64_t>{3, 7}));
  EXPECT_EQ(model->answer(b, evaluation()).answer.sizes(), (std::vector<int64_t>{3, 6, kWords}));
  EXPECT_TRUE(model->routed());
  EXPECT_EQ(count_macs(*model) > 0, true);
}

/// In the form that nllb-moe's config.json can say.
std::shared_ptr<Model> publishable(const Json& more = Json::object(), const Json& policy = Json::object()) {
  Json gate{{"part", "nllb_top2"}, {"evaluation_fraction", 0.5}, {"expert_masking", 0.2}};
  gate.update(policy);
  Json table{{"hidden", 12},
             {"activation", "relu"},
             {"hidden_bias", true},
             {"query_bias", true},
             {"output_bias", true},
             {"norm_epsilon", 1e-5},
             {"embedding_scale", std::sqrt(8.0)}};
  table["mixture"] = {{"experts", 4},
                      {"policy", gate},
                      {"bank",
                       {{"part", "mlp"},
                        {"hidden", 12},
                        {"activation", "relu"},
                        {"bias", true},
                        {"learn_activation", false}}},
                      {"balancers", {"gshard"}}};
  for (const auto& item : more.items()) table[item.key()] = item.value();
  return network(table);
}

EncoderDecoder& pair_of(Model& model) {
  return dynamic_cast<EncoderDecoder&>(*model.named_children()["pair"]);
}

at::Tensor answered(EncoderDecoder& network) {
  const at::NoGradGuard no_grad;
  const auto source = texts({5}, 5, 4).flatten(), text = texts({6}, 6, 5).flatten();
  return network.forward({text, {6}}, network.encode(source, {5}, evaluation()), evaluation()).logits;
}

TEST(Published, IsTheNetworkThatWasTrained) {
  const auto model = publishable();
  auto& trained = pair_of(*model);
  const auto published = as_published(trained, "nllb_moe");
  EXPECT_TRUE(at::equal(answered(trained), answered(*published.network)));
  EXPECT_EQ(published.report.parameters, model->parameter_count());
  EXPECT_EQ(published.config.at("decoder_start_token_id").get<int>(), 2);
  EXPECT_EQ(published.config.at("moe_eval_capacity_token_fraction").get<double>(), 0.5);
  EXPECT_EQ(published.config.at("moe_token_dropout").get<double>(), 0.2);
  const auto folder = std::filesystem::path(testing::TempDir()) / "gw_published_pair";
  std::filesystem::remove_all(folder);
  save_encoder_decoder(published, folder.string());
  const auto read = load_encoder_decoder(folder.string());
  EXPECT_TRUE(at::equal(answered(trained), answered(*read.network)));
  const auto dense = publishable({{"mixture", Json::object()}});
  EXPECT_TRUE(
      at::equal(answered(pair_of(*dense)), answered(*as_published(pair_of(*dense), "nllb_moe").network)));
}

// What was read from a folder says the same config again.
TEST(Published, SaysWhatItWasReadFrom) {
  const auto model = load_encoder_decoder(std::string(GW_SOURCE_ROOT) + "tests/language/golden/nllb_moe");
  const auto again = as_published(*model.network, "nllb_moe");
  for (const auto& item : again.config.items()) {
    if (item.key() == "torch_dtype" || item.key() == "eos_token_id" ||
        item.key() == "max_position_embeddings")
      continue;
    EXPECT_EQ(item.value(), model.config.at(item.key())) << item.key();
  }
}

TEST(Published, RefusesWhatTheFamilyCannotSay) {
  const auto said = [](const Json& more, const Json& policy = Json::object()) {
    const auto model = publishable(more, policy);
    return refusal<ValueError>([&] { as_published(pair_of(*model), "nllb_moe"); });
  };
  expect_part(said({{"gated", true}}), "expected gated = false in the encoder");
  expect_part(said({{"tied", false}}), "tied = true");
  expect_part(said({{"norm_epsilon", 1e-6}}), "norm_epsilon");
  expect_part(said({{"embedding_scale", 2.0}}), "embedding_scale");
  expect_part(said({{"hidden", 16}}), "as the dense perceptrons (16 hidden values");
  expect_part(said({{"dense_first", 2}, {"every", 1}}), "use \"every\"");
  expect_part(said(Json::object(), {{"jitter", 0.1}}), "got \"jitter\"");
  const auto model = publishable();
  expect_part(refusal<ValueError>([&] { as_published(pair_of(*model), "switch_transformers"); }), "nllb-moe");
}

}  // namespace gw::test::pair_network_cases
