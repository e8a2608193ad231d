// Norms and heads that each expert has of its own, against a small network for each expert with the same
// convolutions.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <map>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/network.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/ops/random.h"
#include "tests/support/refusal.h"

namespace gw::test::private_parts_cases {

using gw::Execution;
using gw::Network;
using Names = std::vector<std::string>;
using Tensors = std::map<std::string, at::Tensor>;

const Names kAll{"norms", "stem_norms", "head"};

gw::NetworkOptions options_for(const std::string& backbone, int64_t experts, const Names& own) {
  static const std::map<std::string, Json> small{{"densenet_bc", Json{{"depth", 16}, {"growth", 8}}},
                                                 {"resnet18", Json{{"width", 16}}},
                                                 {"vgg16_bn", Json{{"width", 8}}},
                                                 {"wrn28_10", Json{{"depth", 16}, {"widen", 1}}}};
  gw::NetworkOptions o;
  o.backbone = backbone, o.experts = experts, o.ratio = 0.5, o.seed = 5, o.own = own;
  if (small.count(backbone) == 1) o.backbone_options = small.at(backbone);
  o.gate = Json{{"part", "cnn"}, {"arch", "small"}};
  return o;
}

std::shared_ptr<Network> network_f64(const std::string& backbone, int64_t experts, const Names& own = kAll) {
  auto network = std::make_shared<Network>(options_for(backbone, experts, own), 3, 16, 16, 10);
  network->to(at::kDouble);
  // Norms start equal for all experts: a norm that took another's weights would not show.
  const at::NoGradGuard no_grad;
  uint64_t n = 0;
  for (auto& p : network->backbone_parameters())
    p.add_(gw::ops::normal(gw::Rng(7).fork("jitter", n++), p.sizes(), 0, 0.05).to(at::kDouble));
  network->train();
  return network;
}

at::Tensor images(int64_t batch, uint64_t seed = 2) {
  return gw::ops::uniform(gw::Rng(seed), {batch, 3, 16, 16}, 0, 1).to(at::kDouble);
}

/// Scores that send image i to expert route[i].
at::Tensor to(const std::vector<int64_t>& route, int64_t experts) {
  return at::one_hot(at::tensor(route, at::kLong), experts).to(at::kDouble);
}

Tensors tensors_of(const torch::nn::Module& module, bool parameters) {
  Tensors out;
  const auto named = parameters ? module.named_parameters() : module.named_buffers();
  for (const auto& item : named) out[item.key()] = item.value();
  return out;
}

/// The share of expert e in a tensor of the mixture: a slice where each has its own, all of it otherwise.
at::Tensor share(const at::Tensor& whole, const at::Tensor& of_one, int64_t e) {
  return whole.numel() == of_one.numel() ? whole : whole.narrow(0, e * of_one.size(0), of_one.size(0));
}

/// A network of one pathway with the weights and statistics of expert e.
std::shared_ptr<Network> pathway(const Network& mixture, const std::string& backbone, int64_t e) {
  auto one = network_f64(backbone, 1, {});
  const at::NoGradGuard no_grad;
  for (const bool parameters : {true, false}) {
    const auto from = tensors_of(const_cast<Network&>(mixture).backbone(), parameters);
    for (auto& [name, tensor] : tensors_of(one->backbone(), parameters))
      at::Tensor(tensor).copy_(share(from.at(name), tensor, e));
  }
  return one;
}

at::Tensor summed_loss(const at::Tensor& logits, const at::Tensor& labels) {
  return at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum);
}

/// Gradients by name; a zero where the loss does not depend on a parameter.
Tensors gradients_of(const at::Tensor& loss, torch::nn::Module& module) {
  const auto named = module.named_parameters();
  const auto values = torch::autograd::grad({loss}, module.parameters(), {}, c10::nullopt, false, true);
  Tensors out;
  for (size_t i = 0; i < values.size(); ++i)
    out[named.keys()[i]] = values[i].defined() ? values[i] : at::zeros_like(named.values()[i]);
  return out;
}

double gap(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

class PrivateParts : public testing::TestWithParam<std::string> {};

TEST_P(PrivateParts, TrainAsANetworkForEachExpertWithTheSameConvolutions) {
  const std::vector<int64_t> route{2, 0, 0, 2, 2, 0, 2, 2, 0, 2};  // nobody to expert 1
  const auto x = images(10), labels = at::arange(10, at::kLong);
  const auto mixture = network_f64(GetParam(), 3);
  std::vector<std::shared_ptr<Network>> alone;
  for (const int64_t e : {0, 1, 2}) alone.push_back(pathway(*mixture, GetParam(), e));
  gw::ForwardOptions given;
  given.scores = to(route, 3);
  const auto logits = mixture->forward(x, given).logits;
  const auto gradients = gradients_of(summed_loss(logits, labels), mixture->backbone());
  Tensors expected;
  for (const int64_t e : {0, 1, 2}) {
    const auto rows = at::tensor(route, at::kLong).eq(e).nonzero().squeeze(1);
    const auto& one = alone[static_cast<size_t>(e)];
    Tensors own;
    for (const auto& [name, tensor] : tensors_of(one->backbone(), true)) own[name] = at::zeros_like(tensor);
    if (rows.size(0) > 0) {
      const auto answer = one->forward(x.index_select(0, rows)).logits;
      EXPECT_LT(gap(logits.index_select(0, rows), answer), 1e-10) << e;
      own = gradients_of(summed_loss(answer, labels.index_select(0, rows)), one->backbone());
    }
    for (const auto& [name, gradient] : own) {
      auto& sum = expected[name];
      if (!sum.defined()) sum = at::zeros_like(gradients.at(name));
      share(sum, gradient, e).add_(gradient);
    }
    const auto statistics = tensors_of(mixture->backbone(), false);
    for (const auto& [name, tensor] : tensors_of(one->backbone(), false))
      EXPECT_LT(gap(share(statistics.at(name), tensor, e), tensor), 1e-10) << name << " of expert " << e;
  }
  for (const auto& [name, gradient] : gradients) {
    const double scale = 1e-3 + expected.at(name).abs().max().item<double>();
    EXPECT_LT(gap(gradient, expected.at(name)) / scale, 1e-8) << name;
  }
}

TEST_P(PrivateParts, MaskedAndBucketedExecutionAgreeForEveryChoice) {
  const auto x = images(12),
             scores = to({0, 1, 1, 0, 3, 1, 0, 0, 1, 1, 0, 1}, 4);  // one image for 3, none for 2
  for (const Names& own : {Names{"norms"}, Names{"stem_norms"}, Names{"head"}, Names{"norms", "head"}}) {
    for (const bool train : {true, false}) {
      std::vector<at::Tensor> logits, statistics, gradients;
      for (const auto execution : {Execution::kBucketed, Execution::kMasked}) {
        const auto network = network_f64(GetParam(), 4, own);
        network->train(train);
        gw::ForwardOptions o;
        o.execution = execution, o.scores = scores;
        const auto answer = network->forward(x, o).logits;
        logits.push_back(answer.detach());
        std::vector<at::Tensor> flat, buffers;
        for (const auto& item : gradients_of(answer.square().sum(), network->backbone()))
          flat.push_back(item.second.flatten());
        for (const auto& b : network->buffers()) buffers.push_back(b.flatten().to(at::kDouble));
        gradients.push_back(at::cat(flat)), statistics.push_back(at::cat(buffers));
      }
      EXPECT_LT(gap(logits[0], logits[1]), 1e-9) << own[0];
      EXPECT_LT(gap(statistics[0], statistics[1]), 1e-9) << own[0];
      const double scale = 1e-3 + gradients[0].abs().max().item<double>();
      EXPECT_LT(gap(gradients[0], gradients[1]) / scale, 1e-8) << own[0];
    }
  }
}

TEST_P(PrivateParts, FoldedInferenceAndItsImageGradientEqualTheUnfolded) {
  for (const Names& own : {kAll, Names{"norms"}, Names{"stem_norms"}}) {
    const auto network = network_f64(GetParam(), 2, own);
    gw::ForwardOptions given;
    given.scores = to({0, 1, 1, 0, 1, 0, 1, 1}, 2);
    for (const uint64_t seed : {3, 4}) network->forward(images(8, seed), given);  // statistics that differ
    network->eval();
    const auto answer = [&] {
      auto x = images(8).requires_grad_(true);
      const auto logits = network->forward(x, given).logits;
      return std::pair{logits.detach(), torch::autograd::grad({logits.square().sum()}, {x})[0]};
    };
    const auto [logits, gradient] = answer();
    const at::Tensor single = network->forward(images(8).narrow(0, 3, 1)).logits.detach();
    const gw::ops::FrozenParameters frozen;
    const auto [folded, folded_gradient] = answer();
    EXPECT_LT(gap(logits, folded), 1e-9);
    EXPECT_LT(gap(gradient, folded_gradient) / gradient.abs().max().item<double>(), 1e-8);
    EXPECT_LT(gap(single, network->forward(images(8).narrow(0, 3, 1)).logits.detach()), 1e-9);
  }
}

TEST_P(PrivateParts, CostAndCountAsTheyShould) {
  const auto count = [&](int64_t experts, const Names& own) {
    return Network(options_for(GetParam(), experts, own), 3, 16, 16, 10);
  };
  auto shared = count(3, {}), own = count(3, kAll), norms = count(3, {"norms"}), head = count(3, {"head"}),
       stem = count(3, {"stem_norms"}), one = count(1, kAll), plain = count(1, {});
  const auto cost = own.cost();
  EXPECT_EQ(cost.backbone, shared.cost().backbone);
  const at::NoGradGuard no_grad;
  const gw::ops::CostRecorder recorder;
  own.forward(images(8).to(at::kFloat));
  EXPECT_EQ(recorder.macs(), 8 * cost.total());
  int64_t of_norms = 0, of_heads = 0;
  for (const auto& [name, tensor] : tensors_of(shared.backbone(), true)) {
    if (name.starts_with("head")) of_heads += tensor.numel();
    if (name.find("norm") != std::string::npos) of_norms += tensor.numel();
  }
  EXPECT_EQ(head.parameter_count() - shared.parameter_count(), 2 * of_heads);
  EXPECT_EQ(norms.parameter_count() + stem.parameter_count() - 2 * shared.parameter_count(), 2 * of_norms);
  EXPECT_EQ(own.parameter_count() - shared.parameter_count(), 2 * (of_norms + of_heads));
  const auto a = tensors_of(one, true), b = tensors_of(plain, true);
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
}

Names backbones() {
  Names out;
  for (const auto& part : gw::Registry::instance().list("models")) out.push_back(part.name);
  return out;
}
INSTANTIATE_TEST_SUITE_P(All, PrivateParts, testing::ValuesIn(backbones()),
                         [](const auto& test) { return test.param; });

// What a forced pathway answers is what the rows that were sent there get.
TEST(PrivatePartsOf, ForcedExpertsAreTheirOwn) {
  const auto network = network_f64("small_cnn", 2);
  network->eval();
  gw::ForwardOptions given;
  given.scores = to({0, 1, 1, 0}, 2);
  const auto logits = network->forward(images(4), given).logits;
  for (const int64_t e : {0, 1}) {
    gw::ForwardOptions forced;
    forced.forced_expert = e;
    const auto own = network->forward(images(4), forced).logits;
    for (const int64_t i : {0, 1, 2, 3})
      EXPECT_EQ(gap(own[i], logits[i]) < 1e-12, (i == 1 || i == 2) == (e == 1)) << i << " by " << e;
  }
}

// 8×8 images are 1×1 at the last layer: one image of an expert has no deviation of its own.
TEST(PrivatePartsOf, OneImageOfAnExpertTakesItsRunningStatistics) {
  Network network(options_for("small_cnn", 2, kAll), 3, 8, 8, 10);
  network.train();
  gw::ForwardOptions given;
  given.scores = to({0, 0, 1, 0}, 2).to(at::kFloat);
  const auto before = tensors_of(network.backbone(), false).at("conv3.conv.running_mean").clone();
  const auto x = gw::ops::uniform(gw::Rng(2), {4, 3, 8, 8}, 0, 1);
  const auto logits = network.forward(x, given).logits;
  EXPECT_TRUE(logits.isfinite().all().item<bool>());
  const auto change = (tensors_of(network.backbone(), false).at("conv3.conv.running_mean") - before).abs();
  const int64_t half = change.numel() / 2;
  EXPECT_GT(change.narrow(0, 0, half).max().item<double>(), 0);
  EXPECT_EQ(change.narrow(0, half, half).max().item<double>(), 0);
  const auto gradients = gradients_of(logits.square().sum(), network.backbone());
  for (const auto& item : gradients) EXPECT_TRUE(item.second.isfinite().all().item<bool>()) << item.first;
}

TEST(PrivatePartsOf, RefusesWhatItDoesNotKnow) {
  const auto refused = [](const Names& own, const std::string& routing, int64_t experts = 2) {
    auto o = options_for("small_cnn", experts, own);
    o.routing = routing;
    if (routing == "layer") o.gate = "pooled_linear";
    return refusal([&] { Network(o, 3, 16, 16, 10); });
  };
  EXPECT_EQ(refused({"heads"}, "image"),
            "network: unknown value \"heads\" in \"private\"; did you mean \"head\"?");
  EXPECT_NE(refused({"head", "head"}, "image").find("once, got it twice"), std::string::npos);
  EXPECT_NE(refused({"norms"}, "layer").find("expected routing = \"image\" with \"private\", got \"layer\""),
            std::string::npos);
  EXPECT_EQ(refused({"norms"}, "layer", 1), "accepted");
}

}  // namespace gw::test::private_parts_cases
