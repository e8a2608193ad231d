// The sparse path against the masked-dense one that computes every expert, as the published code does.
#include <gtest/gtest.h>

#include <map>

#include "gatewright/base/registry.h"
#include "gatewright/models/network.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/ops/random.h"

namespace gw::test::sparse_execution_cases {

using gw::Execution;
using gw::Network;

/// Narrow and shallow forms: at its default size one f64 step of a WRN-28-10 takes minutes. A new backbone
/// may do without an entry.
Json small_options(const std::string& backbone) {
  static const std::map<std::string, Json> table{{"densenet_bc", Json{{"depth", 16}, {"growth", 8}}},
                                                 {"resnet18", Json{{"width", 16}}},
                                                 {"vgg16_bn", Json{{"width", 8}}},
                                                 {"wrn28_10", Json{{"depth", 16}, {"widen", 1}}}};
  const auto found = table.find(backbone);
  return found == table.end() ? Json::object() : found->second;
}

gw::NetworkOptions options_for(const std::string& backbone, int64_t experts,
                               const std::string& routing = "image") {
  gw::NetworkOptions o;
  o.backbone = backbone, o.experts = experts, o.ratio = 0.5, o.routing = routing, o.seed = 5;
  o.backbone_options = small_options(backbone);
  o.gate = routing == "image" ? PartChoice(Json{{"part", "cnn"}, {"arch", "small"}}) : "pooled_linear";
  return o;
}

std::shared_ptr<Network> network_f64(const gw::NetworkOptions& o, int64_t size = 16) {
  auto network = std::make_shared<Network>(o, 3, size, size, 10);
  network->to(at::kDouble);
  return network;
}

at::Tensor images(int64_t batch, int64_t size = 16) {
  return gw::ops::uniform(gw::Rng(2), {batch, 3, size, size}, 0, 1).to(at::kDouble);
}

struct Answer {
  at::Tensor logits;
  std::vector<at::Tensor> gradients, buffers;
};

Answer run(Network& network, const at::Tensor& x, Execution execution, const at::Tensor& scores = {}) {
  gw::ForwardOptions o;
  o.execution = execution, o.scores = scores;
  const auto out = network.forward(x, o);
  const auto loss = at::cross_entropy_loss(out.logits, at::arange(x.size(0)).remainder(10));
  Answer answer{out.logits.detach(),
                torch::autograd::grad({loss}, network.parameters(), {}, c10::nullopt, false, true),
                {}};
  for (const auto& b : network.buffers()) answer.buffers.push_back(b.clone());
  return answer;
}

/// Gradients relative to `floor` + the largest: behind an N(0, 0.01) head all are small, so f64 asks for more
/// than f32 can give.
void expect_equal(const Answer& a, const Answer& b, double tolerance, double floor) {
  EXPECT_LT((a.logits - b.logits).abs().max().item<double>(), tolerance);
  ASSERT_EQ(a.gradients.size(), b.gradients.size());
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    ASSERT_EQ(a.gradients[i].defined(), b.gradients[i].defined()) << i;
    if (!a.gradients[i].defined()) continue;
    const double scale = floor + b.gradients[i].abs().max().item<double>();
    EXPECT_LT((a.gradients[i] - b.gradients[i]).abs().max().item<double>() / scale, tolerance) << i;
  }
  for (size_t i = 0; i < a.buffers.size(); ++i)
    EXPECT_LT((a.buffers[i] - b.buffers[i]).abs().max().item<double>(), tolerance) << i;
}

void compare(const gw::NetworkOptions& o, bool train, const at::Tensor& scores = {}, int64_t batch = 12) {
  const auto sparse = network_f64(o), masked = network_f64(o);
  sparse->train(train), masked->train(train);
  const auto x = images(batch);
  expect_equal(run(*sparse, x, Execution::kBucketed, scores), run(*masked, x, Execution::kMasked, scores),
               1e-9, 1e-3);
}

class SparseExecution : public testing::TestWithParam<std::string> {};

TEST_P(SparseExecution, TrainingEqualsMaskedDenseWithGradientsAndStatistics) {
  compare(options_for(GetParam(), 2), true);
}
TEST_P(SparseExecution, EvaluationEqualsMaskedDense) { compare(options_for(GetParam(), 2), false); }
TEST_P(SparseExecution, LayerLevelDecisionsEqualMaskedDense) {
  compare(options_for(GetParam(), 3, "layer"), true);
}

TEST_P(SparseExecution, EmptyAndOneSampleBucketsAndAllToOneWork) {
  const auto one = at::zeros({12, 4}, at::kDouble);
  auto all_to_one = one.clone(), single = one.clone();
  all_to_one.select(1, 2).fill_(1);
  single.select(1, 3).fill_(1);
  single[5][3] = 0, single[5][1] = 1;
  compare(options_for(GetParam(), 4), true, all_to_one);
  compare(options_for(GetParam(), 4), true, single);
}

TEST_P(SparseExecution, FoldedInferenceEqualsTheUnfoldedPath) {
  const auto network = network_f64(options_for(GetParam(), 2));
  network->train();
  run(*network, images(12), Execution::kBucketed);  // moves the running statistics away from 0 and 1
  network->eval();
  const auto x = images(7);
  const auto recorded = network->forward(x).logits.detach();
  const at::NoGradGuard no_grad;
  EXPECT_LT((recorded - network->forward(x).logits).abs().max().item<double>(), 1e-9);
  for (int64_t i = 0; i < 7; ++i) {  // batch-1 kernels
    EXPECT_LT((recorded[i] - network->forward(x.narrow(0, i, 1)).logits[0]).abs().max().item<double>(), 1e-9);
  }
}

TEST_P(SparseExecution, FrozenParametersGiveTheSameImageGradient) {
  const auto network = network_f64(options_for(GetParam(), 2));
  network->train();
  run(*network, images(12), Execution::kBucketed);
  network->eval();
  const auto gradient = [&] {
    auto x = images(6).requires_grad_(true);
    const auto loss = at::cross_entropy_loss(network->forward(x).logits, at::arange(6));
    return torch::autograd::grad({loss}, {x})[0];
  };
  const auto plain = gradient();
  const gw::ops::FrozenParameters frozen;
  EXPECT_GT(plain.norm().item<double>(), 0);
  EXPECT_LT((plain - gradient()).abs().max().item<double>() / plain.abs().max().item<double>(), 1e-8);
}

TEST_P(SparseExecution, ComputesOnlyTheChosenExperts) {
  const auto network = std::make_shared<Network>(options_for(GetParam(), 4), 3, 16, 16, 10);
  auto one = options_for(GetParam(), 1);
  const auto narrow = std::make_shared<Network>(one, 3, 16, 16, 10);
  network->eval(), narrow->eval();
  const auto cost = network->cost();
  EXPECT_EQ(cost.backbone, narrow->cost().total());
  const at::NoGradGuard no_grad;
  const auto x = images(8).to(at::kFloat);
  const gw::ops::CostRecorder recorder;
  network->forward(x);
  EXPECT_EQ(recorder.macs(), 8 * cost.total());
}

std::vector<std::string> backbones() {
  std::vector<std::string> out;
  for (const auto& part : gw::Registry::instance().list("models")) out.push_back(part.name);
  return out;
}
INSTANTIATE_TEST_SUITE_P(All, SparseExecution, testing::ValuesIn(backbones()),
                         [](const auto& test) { return test.param; });

TEST(SparseExecutionF32, EqualsMaskedDense) {
  const auto o = options_for("small_cnn", 2);
  Network sparse(o, 3, 16, 16, 10), masked(o, 3, 16, 16, 10);
  const auto x = images(32).to(at::kFloat);
  expect_equal(run(sparse, x, Execution::kBucketed), run(masked, x, Execution::kMasked), 2e-6, 1);
}

TEST(Network, ForcedPathwaysIgnoreTheRouter) {
  const auto network = network_f64(options_for("small_cnn", 2));
  network->eval();
  const auto x = images(6);
  const auto out = network->forward(x);
  const auto chosen = gw::chosen_experts(out.plans.front().plan);
  for (int64_t e = 0; e < 2; ++e) {
    gw::ForwardOptions forced;
    forced.forced_expert = e;
    const auto logits = network->forward(x, forced).logits;
    for (int64_t i = 0; i < 6; ++i) {
      if (chosen[i].item<int64_t>() != e) continue;
      EXPECT_LT((logits[i] - out.logits[i]).abs().max().item<double>(), 1e-12);
    }
  }
  gw::ForwardOptions beyond;
  beyond.forced_expert = 2;
  EXPECT_THROW(network->forward(x, beyond), gw::ValueError);
  EXPECT_THROW(network->forward(images(2, 12)), gw::ValueError);
}

TEST(Network, ScoresStayDifferentiableOnlyWhenRecorded) {
  const auto network = network_f64(options_for("small_cnn", 2));
  const auto x = images(6);
  gw::ForwardOptions silent;
  silent.record_router = false;
  EXPECT_FALSE(network->forward(x, silent).plans.front().plan.weight.requires_grad());
  EXPECT_TRUE(network->forward(x).plans.front().plan.weight.requires_grad());
}

// Any other than ReLU is a pass of its own: the leaky one without a leak is ReLU, and the sparse and the
// masked execution of a smooth one agree in values and gradients.
TEST(Network, SmallCnnTakesAnyActivation) {
  auto o = options_for("small_cnn", 2);
  const auto x = images(6);
  const auto relu = network_f64(o)->forward(x).logits;
  o.backbone_options = Json{{"activation", "leaky_relu(slope=0)"}};
  EXPECT_LT((network_f64(o)->forward(x).logits - relu).abs().max().item<double>(), 1e-12);
  o.backbone_options = Json{{"activation", "golu"}};
  EXPECT_GT((network_f64(o)->forward(x).logits - relu).abs().max().item<double>(), 1e-3);
  expect_equal(run(*network_f64(o), x, Execution::kBucketed), run(*network_f64(o), x, Execution::kMasked),
               1e-9, 1);
  o.backbone_options = Json{{"activation", "gollu"}};
  EXPECT_THROW(network_f64(o), gw::ValueError);
}

}  // namespace gw::test::sparse_execution_cases
