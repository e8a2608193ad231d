// Early exits: the same decisions row by row and in bulk, the published rule, counted costs, weights that
// cancel.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/registry.h"
#include "gatewright/models/staged.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/policy.h"
#include "gatewright/train/early_exits.h"
#include "tests/support/refusal.h"

namespace gw::test::early_exits_cases {

std::shared_ptr<Network> network(const std::string& backbone = "small_cnn", int64_t experts = 1) {
  NetworkOptions options;
  options.backbone = backbone, options.experts = experts, options.ratio = experts > 1 ? 0.5 : 1.0;
  if (backbone == "small_cnn") options.backbone_options = Json{{"width", 4}};
  if (backbone == "wrn28_10") options.backbone_options = Json{{"depth", 10}, {"widen", 1}};
  if (backbone == "densenet_bc") options.backbone_options = Json{{"depth", 10}};
  if (backbone == "vgg16_bn" || backbone == "resnet18") options.backbone_options = Json{{"width", 4}};
  auto made = std::make_shared<Network>(options, 1, 12, 12, 3);
  made->eval();
  return made;
}

TEST(Stages, ComposeToTheWholeOfEveryBackbone) {
  const auto images = ops::uniform(Rng(1), {5, 1, 12, 12}, 0, 1);
  const at::NoGradGuard no_grad;
  ForwardOptions evaluation;
  evaluation.train = false;
  for (const auto& part : Registry::instance().list(Backbone::kKind)) {
    const auto net = network(part.name);
    const NetworkStages stages(*net);
    ASSERT_GE(stages.count(), 2) << part.name;
    auto maps = images;
    for (int64_t s = 0; s < stages.count(); ++s) maps = stages.stage(s, maps);
    const auto apart = stages.finish(maps), whole = net->forward(images, evaluation).logits;
    EXPECT_LT((apart - whole).abs().max().item<double>(), 1e-5) << part.name;
  }
  expect_part(refusal<ValueError>([&] { NetworkStages(*network()).stage(4, images); }), "a stage below 4");
  expect_part(refusal<ValueError>([&] { NetworkStages(*network("small_cnn", 2)); }), "a dense network");
}

/// Dark, bright, and striped images: what means of maps can tell apart, mixed so that some are hard.
TensorSet images(int64_t count, uint64_t seed) {
  const auto label = at::arange(count, at::kLong).remainder(3);
  const auto strength = ops::uniform(Rng(seed).fork("strength"), {count}, 0, 1);
  auto pixels = ops::uniform(Rng(seed), {count, 1, 12, 12}, 0, 1) * 60;
  for (int64_t i = 0; i < count; ++i) {
    if (i % 3 == 1) pixels[i] += strength[i] * 190;
    if (i % 3 == 2) pixels[i][0].slice(1, 0, 12, 2) += strength[i] * 190;
  }
  return {{{"image", pixels.clamp(0, 255).to(at::kByte)}, {"label", label}}};
}

Batch batch_of(const char* field, const at::Tensor& values) {
  Batch batch;
  batch.fields[field] = values, batch.index = at::arange(values.size(0), at::kLong);
  return batch;
}

ExitOptions fast() {
  ExitOptions o;
  o.warm_epochs = 20, o.epochs = 20, o.alternate = 3, o.batch = 16, o.lr = 0.3;
  return o;
}

TEST(EarlyExits, RowsThatLeaveAreAnsweredAsInBulk) {
  EarlyExits exits(network(), fast(), 1);
  ASSERT_EQ(exits.exits(), 3);
  const auto set = images(90, 5);
  const auto features = exits.features(set);
  exits.train_heads(features, fast(), Rng(2));
  exits.train_jointly(features, 0.5, fast(), Rng(3));
  const auto pixels = set.at("image").to(at::kFloat) / 255;
  for (const auto& rule : {gate_rule(), confidence_rule({0.6}), confidence_rule({0.9, 0.5, 0.4})}) {
    const auto bulk = exits.answer(features, rule), staged = exits.answer(batch_of("image", pixels), rule);
    EXPECT_TRUE(bulk.exit.equal(staged.exit));
    EXPECT_LT((bulk.logits - staged.logits).abs().max().item<double>(), 1e-4);
  }
  EXPECT_GT(std::get<0>(at::_unique(exits.answer(features, confidence_rule({0.6})).exit)).numel(), 1)
      << "or nothing was tested";
  const auto none = exits.answer(features, confidence_rule({1.1}));
  EXPECT_TRUE(none.exit.eq(3).all().item<bool>());
  EXPECT_TRUE(none.logits.equal(features.final_logits));
}

std::shared_ptr<Model> token_model(bool per_token = false) {
  DataSpec data;
  data.vocabulary = 9, data.context = 8, data.classes = 3;
  const Json mixture{{"experts", 2}, {"bank", {{"part", "mlp"}, {"hidden", 8}}}};
  auto model = make_part<Model>("token_mixer", {{"width", 12}, {"depth", 3}, {"mixture", mixture}},
                                {data, {3, per_token}, 1});
  model->eval();
  return model;
}

// Fails if tokens do not follow the rows that stay, or if stages are not the model.
TEST(EarlyExits, SequencesOfTokensLeaveToo) {
  const auto model = token_model();
  const auto label = at::arange(90, at::kLong).remainder(3);
  const auto draws = (ops::uniform(Rng(6), {90, 8}, 0, 1) * 9).to(at::kLong).clamp_max(8);
  const auto token = at::where(ops::uniform(Rng(7), {90, 8}, 0, 1) < 0.4, label.unsqueeze(1), draws);
  EarlyExits exits(model, fast(), 1);
  ASSERT_EQ(exits.exits(), 2);
  const auto features = exits.features({{{"token", token}, {"label", label}}});
  exits.train_heads(features, fast(), Rng(2));
  Pass evaluation;
  evaluation.train = false;
  const at::NoGradGuard no_grad;
  const auto whole = model->answer(batch_of("token", token), evaluation).answer;
  EXPECT_LT((whole - features.final_logits).abs().max().item<double>(), 1e-5);
  const auto rule = confidence_rule({0.6, 0.5});
  const auto bulk = exits.answer(features, rule), staged = exits.answer(batch_of("token", token), rule);
  EXPECT_TRUE(bulk.exit.equal(staged.exit));
  EXPECT_LT((bulk.logits - staged.logits).abs().max().item<double>(), 1e-4);
  EXPECT_GT(std::get<0>(at::_unique(bulk.exit)).numel(), 1) << "or nothing was tested";
}

TEST(EarlyExits, ModelsWithoutStagesAreRefused) {
  expect_part(refusal<ValueError>([] { EarlyExits(token_model(true), fast(), 1); }),
              "one answer for each sequence");
  DataSpec data;
  data.inputs = 4;
  const std::shared_ptr<Model> rows =
      make_part<Model>("gg_moe", {{"width", 8}, {"experts", 2}}, {data, {3, false}, 1});
  expect_part(refusal<ValueError>([&] { EarlyExits(rows, fast(), 1); }), "a model of tokens with stages");
}

// Maps that are turned round here are turned back by the next convolution.
TEST(StageRows, StayAsTheyLie) {
  const auto maps = ops::normal(Rng(1), {6, 3, 4, 5}, 0, 1).contiguous(at::MemoryFormat::ChannelsLast);
  const auto which = at::tensor(std::vector<int64_t>{4, 0, 5}, at::kLong);
  const auto rows = StageRows{maps, {}}.at(which);
  EXPECT_TRUE(rows.x.equal(maps.index_select(0, which)));
  EXPECT_TRUE(rows.x.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(EarlyExits, TheRuleIsThatOfThePolicy) {
  const auto scores = ops::normal(Rng(4), {200, 4}, -0.5, 1.5);
  const auto policy = make_part<Policy>("early_exit", Json::object(), {4});
  const auto plan = policy->plan(scores, false, Rng(0));
  const auto rule = gate_rule();
  auto exit = at::full({200}, 3, at::kLong);
  for (int64_t e = 2; e >= 0; --e) exit = exit.masked_fill(rule(e, scores.narrow(1, 0, e + 1), {}), e);
  auto chosen = at::zeros({200}, at::kLong);
  for (int64_t e = 0; e < 4; ++e) {
    const auto at_e = static_cast<size_t>(e);
    const int64_t first = plan.offsets[at_e], count = plan.offsets[at_e + 1] - first;
    chosen.index_fill_(0, plan.token.narrow(0, first, count).to(at::kLong), e);
  }
  EXPECT_TRUE(exit.equal(chosen));
}

TEST(EarlyExits, CostsCountTheExitsOnTheWay) {
  auto options = fast();
  options.after = {1};
  const auto net = network();
  const EarlyExits one(net, options, 1), three(net, fast(), 1);
  const auto total = static_cast<double>(net->cost().total());
  EXPECT_GT(three.costs()[0], 0);
  for (size_t i = 1; i < three.costs().size(); ++i) EXPECT_GT(three.costs()[i], three.costs()[i - 1]);
  const double exit = (8 * 3 + 4) / total;  // 8 channels after stage 1, 3 classes, a gate of four numbers
  EXPECT_NEAR(one.costs()[1], 1 + exit, 1e-9);
  EXPECT_GT(three.costs()[1], one.costs()[0]) << "with the exit before it";
  for (const std::vector<double>& wrong : {std::vector<double>{3}, std::vector<double>{1, 1}}) {
    options.after = wrong;
    expect_part(refusal<ValueError>([&] { EarlyExits(net, options, 1); }), "stages that ascend");
  }
}

at::Tensor heads_after(const std::string& weighting, double price) {
  auto options = fast();
  options.weighting = weighting;
  EarlyExits exits(network(), options, 1);
  const auto features = exits.features(images(60, 5));
  exits.train_heads(features, options, Rng(2));
  exits.train_jointly(features, price, options, Rng(3));
  std::vector<at::Tensor> all;
  for (int64_t e = 0; e < 3; ++e)
    all.push_back(exits.logits(e, features.pooled[static_cast<size_t>(e)]).detach());
  return at::stack(all);
}

/// As published, the factor that scales the weighted losses carries a gradient that undoes the weights.
TEST(EarlyExits, ThePublishedWeightsCancel) {
  const auto cheap = heads_after("cancelling", 0.01), dear = heads_after("cancelling", 5);
  EXPECT_LT((cheap - dear).abs().max().item<double>(), 1e-3)
      << "whatever the gates do, the exits are the same";
  const auto held_cheap = heads_after("detached", 0.01), held_dear = heads_after("detached", 5);
  EXPECT_GT((held_cheap - held_dear).abs().max().item<double>(), 1e-2);
}

TEST(EarlyExits, AHigherPriceLeavesEarlier) {
  const auto mean_cost = [](double price) {
    EarlyExits exits(network(), fast(), 1);
    const auto features = exits.features(images(90, 5));
    exits.train_heads(features, fast(), Rng(2));
    exits.train_jointly(features, price, fast(), Rng(3));
    const auto exit = exits.answer(features, gate_rule()).exit;
    return at::tensor(exits.costs(), at::kDouble).index_select(0, exit).mean().item<double>();
  };
  EXPECT_LT(mean_cost(20), mean_cost(0.0));
}

TEST(EarlyExits, ABoundThatCannotBeMetLetsNobodyLeave) {
  EarlyExits exits(network(), fast(), 1);
  const auto features = exits.features(images(300, 5));
  exits.train_heads(features, fast(), Rng(2));
  const std::vector<double> grid{0.9999, 0.999, 0.99, 0.9, 0.8, 0.7, 0.5, 0.34};
  const double strict = calibrated_threshold(exits, features, grid, 1e-4, 0.9);
  EXPECT_GT(strict, 1.0) << "300 rows cannot show an error of one in ten thousand";
  EXPECT_LE(calibrated_threshold(exits, features, grid, 0.9, 0.9), 0.9);
}

TEST(CalibrationError, IsTheGapOfConfidenceAndAccuracy) {
  const auto logits =
      at::tensor({std::log(4.0), 0.0, std::log(4.0), 0.0, 0.0, std::log(4.0)}, at::kDouble).view({3, 2});
  const auto label = at::tensor({0, 1, 1}, at::kLong);  // confidence 0.8 each, two of three right
  EXPECT_NEAR(calibration_error(logits, label), 0.8 - 2.0 / 3, 1e-9);
}

}  // namespace gw::test::early_exits_cases
