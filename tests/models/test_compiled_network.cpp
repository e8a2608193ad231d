#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/error.h"
#include "gatewright/models/compiled_network.h"
#include "gatewright/ops/random.h"

namespace gw::test::compiled_network_cases {
namespace {

struct Net {
  std::string backbone = "small_cnn", options = "{}", gate = R"({"part":"cnn","arch":"small"})";
  int64_t channels = 1, side = 28, experts = 2;
  std::vector<std::string> own = {};
  std::string routing = "image";
  bool merged = false;
};

/// Batch norms with statistics and weights of their own: untrained ones would hide what folding does.
std::shared_ptr<Network> make(const Net& n) {
  NetworkOptions o;
  o.backbone = n.backbone, o.backbone_options = Json::parse(n.options), o.experts = n.experts,
  o.ratio = n.experts > 1 ? 0.5 : 1;
  o.gate = Json::parse(n.gate), o.own = n.own, o.routing = n.routing;
  if (n.merged) o.execution = "merged", o.policy = Json{{"part", "dense_softmax"}, {"score", "sigmoid"}};
  auto network = std::make_shared<Network>(o, n.channels, n.side, n.side, 10);
  const at::NoGradGuard no_grad;
  uint64_t seed = 0;
  for (const auto& tensor : network->named_parameters(true)) {
    if (tensor.key().find("norm") != std::string::npos)
      tensor.value().add_(ops::normal(Rng(++seed), tensor.value().sizes(), 0, 0.2));
  }
  for (const auto& tensor : network->named_buffers(true)) {
    const bool variance = tensor.key().find("var") != std::string::npos;
    if (tensor.value().is_floating_point())
      tensor.value().add_(
          ops::uniform(Rng(++seed), tensor.value().sizes(), variance ? 0.1 : -0.3, variance ? 1 : 0.3));
  }
  network->eval();
  return network;
}

at::Tensor images(const Net& n, int64_t count) {
  return ops::uniform(Rng(9), {count, n.channels, n.side, n.side}, 0, 1);
}

std::string named(const Net& n) { return n.backbone + " " + n.options + " of " + std::to_string(n.side); }

void expect_same(const Net& n) {
  SCOPED_TRACE(named(n));
  const at::NoGradGuard no_grad;
  const auto network = make(n);
  const CompiledNetwork compiled(*network);
  const auto x = images(n, 5);
  const auto answer = compiled.run(x);
  ForwardOptions evaluation;
  evaluation.train = false;
  const auto scores = network->route(x, evaluation);
  for (int64_t i = 0; i < x.size(0); ++i) {
    evaluation.forced_expert = network->image_routed() ? answer.expert[static_cast<size_t>(i)] : -1;
    const auto wanted = network->forward(x.narrow(0, i, 1), evaluation).logits;
    const double error =
        ((answer.logits.narrow(0, i, 1) - wanted).abs().max() / wanted.abs().max()).item<double>();
    ASSERT_LT(error, 1e-4) << "image " << i;
  }
  EXPECT_TRUE(compiled.router_compiled());
  if (!network->image_routed()) return;
  ASSERT_LT((answer.scores - scores).abs().max().item<double>(), 1e-4);
  const auto best = scores.argmax(1);
  for (int64_t i = 0; i < x.size(0); ++i)
    EXPECT_EQ(answer.expert[static_cast<size_t>(i)], best[i].item<int64_t>());
}

TEST(CompiledNetwork, AnswersAsTheNetworkDoes) {
  expect_same({});
  expect_same({.experts = 1});
  expect_same({.options = R"({"width":5})", .experts = 3, .own = {"norms", "stem_norms", "head"}});
  expect_same({.options = R"({"width":4,"activation":"golu"})"});
}

TEST(CompiledNetwork, AnswersAsEveryBackboneDoes) {
  const std::string small = R"({"part":"cnn","arch":"small"})",
                    resnet = R"({"part":"cnn","arch":"resnet20","width":4})";
  expect_same(
      {.backbone = "resnet18", .options = R"({"width":8})", .gate = resnet, .channels = 3, .side = 32});
  expect_same(
      {.backbone = "resnet18", .options = R"({"width":4})", .gate = small, .channels = 3, .side = 15});
  expect_same(
      {.backbone = "vgg16_bn", .options = R"({"width":8})", .gate = small, .channels = 3, .side = 24});
  expect_same(
      {.backbone = "densenet_bc", .options = R"({"depth":16})", .gate = small, .channels = 3, .side = 17});
  expect_same({.backbone = "wrn28_10",
               .options = R"({"depth":10,"widen":1})",
               .gate = small,
               .channels = 3,
               .side = 16});
}

Net merged(const std::string& backbone, const std::string& options, int64_t channels, int64_t side) {
  return {.backbone = backbone,
          .options = options,
          .gate = R"({"part":"pooled_linear"})",
          .channels = channels,
          .side = side,
          .experts = 3,
          .own = {"head"},
          .routing = "layer",
          .merged = true};
}

TEST(CompiledNetwork, AnswersAsMergedNetworksDo) {
  expect_same(merged("small_cnn", R"({"width":5})", 1, 28));
  expect_same(merged("resnet18", R"({"width":4})", 3, 15));  // with strides of 2 and residuals
  expect_same(merged("vgg16_bn", R"({"width":8})", 3, 24));
  expect_same(merged("wrn28_10", R"({"depth":10,"widen":1})", 3, 16));
  expect_same(merged("densenet_bc", R"({"depth":16})", 3, 17));
}

// A softmax is no function of one score alone: nothing is logged, and nothing wrong is compiled.
TEST(CompiledNetwork, RefusesMergedNetworksOfOtherWeights) {
  auto n = merged("small_cnn", R"({"width":5})", 1, 28);
  NetworkOptions o;
  o.backbone = n.backbone, o.experts = 3, o.ratio = 0.5, o.gate = Json::parse(n.gate), o.routing = "layer";
  o.execution = "merged", o.policy = "dense_softmax";
  Network network(o, 1, 28, 28, 10);
  network.eval();
  EXPECT_THROW(CompiledNetwork{network}, ValueError);
}

TEST(CompiledNetwork, GivesTheSameBitsForAnyBatchAndThreads) {
  const Net n{.backbone = "resnet18", .options = R"({"width":16})", .channels = 3, .side = 32};
  const auto network = make(n);
  const CompiledNetwork compiled(*network);
  const auto x = images(n, 11);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto all = compiled.run(x).logits;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    EXPECT_TRUE(at::equal(compiled.run(x).logits, all)) << threads;
    for (int64_t i = 0; i < x.size(0); ++i)
      EXPECT_TRUE(at::equal(compiled.run(x.narrow(0, i, 1)).logits, all.narrow(0, i, 1)))
          << threads << ", " << i;
  }
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(compiled.run(x.contiguous(at::MemoryFormat::ChannelsLast)).logits, all));
  EXPECT_TRUE(at::equal(compiled.run(x.flip({0})).logits, all.flip({0})));
}

TEST(CompiledNetwork, KeepsTheWeightsThatItWasMadeOf) {
  const auto network = make({});
  const CompiledNetwork compiled(*network);
  const auto x = images({}, 3), before = compiled.run(x).logits;
  const at::NoGradGuard no_grad;
  for (auto& p : network->parameters()) p.mul_(2);
  EXPECT_TRUE(at::equal(compiled.run(x).logits, before));
  EXPECT_FALSE(at::allclose(CompiledNetwork(*network).run(x).logits, before));
}

TEST(CompiledNetwork, RunsGatesThatLogNothingAsTheyAre) {
  Net n;
  n.gate = R"({"part":"pooled_linear"})";
  const auto network = make(n);
  EXPECT_TRUE(CompiledNetwork(*network).router_compiled());
  expect_same(n);
}

TEST(CompiledNetwork, AnswersNoImages) {
  const auto network = make({});
  const auto answer = CompiledNetwork(*network).run(at::empty({0, 1, 28, 28}));
  EXPECT_EQ(answer.logits.size(0), 0);
  EXPECT_TRUE(answer.expert.empty());
}

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const ValueError& error) {
    return error.what();
  }
  return "";
}

TEST(CompiledNetwork, SaysWhatItCannotRun) {
  Net layers;
  layers.routing = "layer", layers.gate = R"({"part":"pooled_linear"})";
  const auto by_layer = make(layers);
  EXPECT_NE(refusal([&] { CompiledNetwork c(*by_layer); }).find("one decision per image"), std::string::npos);
  const auto network = make({});
  const CompiledNetwork compiled(*network);
  EXPECT_NE(refusal([&] {
              compiled.run(at::zeros({1, 3, 28, 28}));
            }).find("[B, 1, 28, 28]"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              compiled.run(at::zeros({1, 1, 28, 28}, at::kDouble));
            }).find("Double"),
            std::string::npos);
  const auto nan = at::full({1, 1, 28, 28}, std::numeric_limits<float>::quiet_NaN());
  EXPECT_NE(refusal([&] { compiled.run(nan); }).find("finite scores"), std::string::npos);
  network->to(at::kDouble);
  EXPECT_NE(refusal([&] { CompiledNetwork c(*network); }), "");
}

}  // namespace
}  // namespace gw::test::compiled_network_cases
