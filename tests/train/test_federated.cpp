// Experts trained over clients: what a client learns, what the server makes of it, what it refuses.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <limits>

#include "gatewright/base/registry.h"
#include "gatewright/data/loader.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/federated.h"
#include "tests/support/refusal.h"

namespace gw::test::federated_cases {

std::shared_ptr<Model> network(uint64_t seed, Json options = {{"part", "gated_mlp"}}) {
  DataSpec data;
  data.channels = 1, data.height = data.width = 6, data.classes = 4;
  const auto part = options.at("part").text();
  options.erase("part");
  if (part == "gated_mlp") options.update({{"width", 5}, {"layers", 1}, {"gates", false}});
  return make_part<Model>(part, options, {data, {4, false}, seed});
}

TensorSet images(int64_t count, uint64_t seed) {
  TensorSet set;
  set.fields["image"] = ops::uniform(Rng(seed), {count, 1, 6, 6}, 0, 255).to(at::kByte);
  set.fields["label"] = at::arange(count, at::kLong).remainder(4);
  return set;
}

FederatedOptions options() {
  FederatedOptions o;
  o.experts = 3, o.k = 2, o.epochs = 1, o.batch = 64, o.gate_hidden = 6, o.lr = 0.1;
  return o;
}

LocalTraining training(const FederatedOptions& o) {
  return {[] { return network(1); }, network(2), o, 7};
}

TEST(FlatWeights, ComeBackAsTheyWere) {
  const auto a = network(1), b = network(2);
  const auto flat = flat_weights(*a);
  EXPECT_EQ(flat.numel(), a->parameter_count());
  set_flat_weights(*b, flat);
  EXPECT_TRUE(flat_weights(*b).equal(flat));
  expect_part(refusal<ValueError>([&] { set_flat_weights(*b, flat.narrow(0, 1, 3)); }),
              "weights of an expert, got 3");
}

TEST(FlatWeights, StatisticsOfBatchesAreRefused) {
  DataSpec data;
  data.channels = 1, data.height = data.width = 8, data.classes = 4;
  const auto normed = make_part<Model>(
      "image", {{"backbone", "small_cnn"}, {"backbone_options", {{"width", 2}}}}, {data, {4, false}, 1});
  expect_part(refusal<ValueError>([&] { flat_weights(*normed); }), "without statistics of batches");
}

TEST(ChooseExperts, TakesTheLargestMeanAndTheAnchorsOwn) {
  const auto logits = at::tensor({3.0f, 0.0f, 1.0f, 0.0f, 3.0f, 2.0f}).view({2, 3});
  EXPECT_EQ(choose_experts(logits, 1), std::vector<int64_t>{0});
  EXPECT_EQ(choose_experts(logits, 2), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(choose_experts(logits, 2, 2), (std::vector<int64_t>{0, 2}));
  EXPECT_EQ(choose_experts(at::zeros({2, 3}), 2), (std::vector<int64_t>{0, 1})) << "ties: the first";
  EXPECT_EQ(choose_experts(logits, 9).size(), 3u);
}

// One step over all images at once, by hand: the loss of the header, its gradient, one step of SGD.
TEST(LocalTraining, IsTheFormulaOfItsLoss) {
  const auto o = options();
  auto client = training(o);
  const auto own = images(12, 3);
  const auto gate = client.gate().drawn(Rng(4));
  const std::vector<at::Tensor> expert{flat_weights(*network(5)), flat_weights(*network(6))};
  const auto update = client.learn(0, 1, own, {0, 2}, expert, gate, /*anchor_of=*/2);

  const at::AutoGradMode with_gradients(true);
  std::vector<std::shared_ptr<Model>> models{network(5), network(6)};
  auto weights = gate.clone().requires_grad_(true);
  const auto batch = Loader(own, 64, {}, false, Rng(0)).get(0, 0);
  const auto feature = features_of(*network(2), own).feature;
  const auto scores = client.gate().logits(weights, feature);
  const auto e0 = scores.select(1, 0).exp(), e2 = scores.select(1, 2).exp();
  Pass pass;
  const auto mixed = models[0]->answer(batch, pass).answer * (e0 / (e0 + e2)).unsqueeze(1) +
                     models[1]->answer(batch, pass).answer * (e2 / (e0 + e2)).unsqueeze(1);
  const auto label = batch.at("label");
  const auto right = at::log_softmax(mixed, 1).gather(1, label.unsqueeze(1)).mean().neg();
  const auto anchor = at::log_softmax(scores, 1).select(1, 2).mean().neg();
  std::vector<at::Tensor> values;
  for (const auto& model : models)
    for (const auto& parameter : model->parameters()) values.push_back(parameter);
  values.push_back(weights);
  const auto gradients = torch::autograd::grad({right + anchor}, values);
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < values.size(); ++i) values[i].sub_(gradients[i], o.lr);
  for (size_t i = 0; i < 2; ++i)
    EXPECT_TRUE(update.expert[i].allclose(flat_weights(*models[i]), 1e-4, 1e-6)) << i;
  EXPECT_TRUE(update.gate.allclose(weights.detach(), 1e-4, 1e-6));
  EXPECT_EQ(update.samples, 12);
  EXPECT_EQ(update.chosen, (std::vector<int64_t>{0, 2}));
}

TEST(LocalTraining, KeepsAGateThatDoesNotLearnAndRepeatsItself) {
  auto o = options();
  o.gate_learns = false, o.epochs = 2, o.batch = 4;
  auto client = training(o);
  const auto gate = client.gate().drawn(Rng(4));
  const std::vector<at::Tensor> expert{flat_weights(*network(5)), flat_weights(*network(6))};
  const auto first = client.learn(3, 1, images(12, 3), {0, 1}, expert, gate, -1);
  EXPECT_TRUE(first.gate.equal(gate));
  client.learn(4, 1, images(12, 4), {0, 1}, expert, gate, -1);
  const auto again = client.learn(3, 1, images(12, 3), {0, 1}, expert, gate, -1);
  EXPECT_TRUE(again.expert[0].equal(first.expert[0]))
      << "another client between changed what this one learns";
  EXPECT_FALSE(client.learn(3, 2, images(12, 3), {0, 1}, expert, gate, -1).expert[0].equal(first.expert[0]));
}

TEST(LocalTraining, OneModelForAllHasNoGate) {
  auto o = options();
  o.method = "fedavg";
  auto client = training(o);
  const auto update = client.learn(0, 1, images(12, 3), {0}, {flat_weights(*network(5))}, {}, -1);
  EXPECT_FALSE(update.gate.defined());
  o.method = "fedjets", o.k = 4;
  expect_part(refusal<ValueError>([&] { training(o); }), "k of at most 3 experts, got 4");
}

TEST(LocalTraining, AClientWithoutImagesIsNamed) {
  auto client = training(options());
  const auto gate = client.gate().drawn(Rng(4));
  const auto none = images(4, 3).rows(at::empty({0}, at::kLong));
  expect_part(refusal<ValueError>([&] { client.gate_logits(5, none, gate); }),
              "images of client 5, got none");
  expect_part(
      refusal<ValueError>([&] {
        client.learn(5, 1, none, {0, 1}, {flat_weights(*network(5)), flat_weights(*network(6))}, gate, -1);
      }),
      "leave it out");
}

FederatedWeights held() { return {{at::zeros({4}), at::ones({4}), at::full({4}, 2.0)}, at::zeros({3})}; }

ClientUpdate update(int64_t client, int64_t samples, std::vector<int64_t> chosen, double value) {
  ClientUpdate u{client, samples, std::move(chosen), {}, at::full({3}, value)};
  for (size_t i = 0; i < u.chosen.size(); ++i) u.expert.push_back(at::full({4}, value));
  return u;
}

// The trap of the dossier: an expert is the mean over those who trained it, and over nobody else.
TEST(Aggregate, AveragesOverThoseWhoTrainedAnExpert) {
  auto weights = held();
  aggregate({update(0, 10, {0, 1}, 1), update(1, 30, {0, 1}, 5), update(2, 40, {0, 1}, 0)}, weights);
  EXPECT_TRUE(weights.expert[0].equal(at::full({4}, 2.0)));
  EXPECT_TRUE(weights.expert[2].equal(at::full({4}, 2.0))) << "nobody trained it";
  EXPECT_TRUE(weights.gate.equal(at::full({3}, 2.0)));
  weights = held();
  aggregate({update(0, 10, {0, 1}, 1), update(1, 30, {1, 2}, 5)}, weights);
  EXPECT_TRUE(weights.expert[0].equal(at::full({4}, 1.0)));
  EXPECT_TRUE(weights.expert[1].equal(at::full({4}, 4.0)));
  EXPECT_TRUE(weights.expert[2].equal(at::full({4}, 5.0)));
  weights = held();
  aggregate({}, weights);
  EXPECT_TRUE(weights.expert[1].equal(at::ones({4}))) << "a round in which everybody was lost";
}

TEST(UpdateProblem, NamesWhatCannotBeUsed) {
  const auto now = held();
  EXPECT_EQ(update_problem(update(0, 10, {0, 2}, 1), now, 2, 10), "");
  expect_part(update_problem(update(0, 11, {0, 2}, 1), now, 2, 10), "expected 1 to 10 examples, got 11");
  expect_part(update_problem(update(0, 0, {0, 2}, 1), now, 2, 10), "got 0");
  expect_part(update_problem(update(0, 10, {0}, 1), now, 2, 10), "expected 2 experts below 3");
  expect_part(update_problem(update(0, 10, {}, 1), now, 2, 10), "expected 2 experts below 3");
  expect_part(update_problem(update(0, 10, {1, 1}, 1), now, 2, 10), "expected 2 experts below 3");
  expect_part(update_problem(update(0, 10, {0, 3}, 1), now, 2, 10), "expected 2 experts below 3");
  expect_part(update_problem(update(0, 10, {-1, 1}, 1), now, 2, 10), "expected 2 experts below 3");
  auto odd = update(0, 10, {0, 2}, 1);
  odd.expert[1] = at::zeros({5});
  expect_part(update_problem(odd, now, 2, 10), "expected 4 weights of an expert, got 5");
  odd.expert[1] = at::zeros({4}, at::kDouble);
  expect_part(update_problem(odd, now, 2, 10), "weights of an expert");
  odd.expert[1] = at::full({4}, std::numeric_limits<double>::quiet_NaN());
  expect_part(update_problem(odd, now, 2, 10), "weights of an expert are not finite");
  odd = update(0, 10, {0, 2}, 1);
  odd.gate = at::full({3}, std::numeric_limits<double>::infinity());
  expect_part(update_problem(odd, now, 2, 10), "weights of the gate are not finite");
  odd.gate = at::Tensor();
  expect_part(update_problem(odd, now, 2, 10), "expected 3 weights of the gate, got 0");
}

TEST(AbsurdUpdates, AreFarBeyondTheMedian) {
  const std::vector<ClientUpdate> updates{update(0, 10, {0, 0}, 1), update(1, 10, {0, 0}, 2),
                                          update(2, 10, {0, 0}, -900), update(3, 10, {0, 0}, 1.5)};
  EXPECT_EQ(absurd_updates(updates, held(), 10), std::vector<size_t>{2});
  EXPECT_TRUE(absurd_updates(updates, held(), 1000).empty());
  EXPECT_TRUE(absurd_updates({updates[0], updates[2]}, held(), 10).empty())
      << "two cannot tell who is absurd";
}

}  // namespace gw::test::federated_cases
