// Images that meet several pathways: against the definition, batch by batch, with gradients, and compiled.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/models/compiled_network.h"
#include "gatewright/models/network.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/random.h"

namespace gw::test::combined_pathways_cases {

using gw::Network;

gw::NetworkOptions unsure(const std::string& combine, const Json& policy,
                          const Json& gate = {{"part", "cnn"}, {"arch", "small"}, {"width", 2}}) {
  gw::NetworkOptions o;
  o.backbone = "small_cnn", o.experts = 3, o.ratio = 0.5, o.seed = 5, o.combine = combine;
  o.backbone_options = Json{{"width", 8}}, o.gate = gate, o.policy = policy;
  o.own = {"norms", "head"};
  return o;
}

const Json kEven{{"part", "adaptive"}, {"gap", 0.02}, {"pair", "even"}};
const Json kRelative{{"part", "adaptive"}, {"gap", 0.02}, {"renormalise", true}};

std::shared_ptr<Network> network_of(const gw::NetworkOptions& options) {
  auto network = std::make_shared<Network>(options, 3, 16, 16, 4);
  network->eval();
  return network;
}

at::Tensor images(int64_t n = 40) { return gw::ops::uniform(gw::Rng(1), {n, 3, 16, 16}, 0, 1); }

/// Spreads the scores, so that some images are sure and some are not.
void spread(Network& network) {
  const at::NoGradGuard no_grad;
  const auto before = network.route(images());
  auto weight = network.router()->named_parameters()["head_weight"];
  auto bias = network.router()->named_parameters()["head_bias"];
  bias.copy_(-before.mean(0));
  const double scale = 0.08 / (before - before.mean(0)).std().item<double>();
  weight.mul_(scale), bias.mul_(scale);
}

at::Tensor pathway(Network& network, const at::Tensor& x, int64_t expert) {
  gw::ForwardOptions forced;
  forced.forced_expert = expert;
  return network.forward(x, forced).logits;
}

TEST(CombinedPathways, AreTheDefinition) {
  const at::NoGradGuard no_grad;
  for (const std::string combine : {"logits", "probabilities"}) {
    for (const auto& policy : {kEven, kRelative}) {
      const auto network = network_of(unsure(combine, policy));
      spread(*network);
      const auto x = images();
      const auto out = network->forward(x);
      const auto& plan = out.plans.front().plan;
      EXPECT_GT(plan.rows(), 45) << "some images are unsure";
      EXPECT_LT(plan.rows(), 75) << "and some are not";
      const auto p = at::softmax(out.scores, 1);
      const auto [value, expert] = p.topk(2, 1);
      const auto gap = value.select(1, 0) - value.select(1, 1);
      for (int64_t b = 0; b < x.size(0); ++b) {
        const auto image = x.narrow(0, b, 1);
        const auto first = pathway(*network, image, expert[b][0].item<int64_t>());
        const auto second = pathway(*network, image, expert[b][1].item<int64_t>());
        const double share =
            policy == kEven ? 0.5 : (value[b][0] / (value[b][0] + value[b][1])).item<double>();
        auto wanted = first;
        if (gap[b].item<double>() <= 0.02) {
          wanted = combine == "logits" ? first * share + second * (1 - share)
                                       : (first.softmax(1) * share + second.softmax(1) * (1 - share)).log();
        } else if (combine == "probabilities") {
          wanted = first.log_softmax(1);
        }
        EXPECT_LT((out.logits.narrow(0, b, 1) - wanted).abs().max().item<double>(), 1e-5) << combine << b;
      }
    }
  }
}

TEST(CombinedPathways, AnImagesAnswerDoesNotDependOnItsBatch) {
  const at::NoGradGuard no_grad;
  const auto network = network_of(unsure("logits", kEven));
  spread(*network);
  const auto x = images();
  const auto whole = network->forward(x).logits;
  for (const auto& piece : at::arange(40, at::kLong).split_with_sizes({1, 7, 32})) {
    EXPECT_TRUE(at::allclose(network->forward(x.index_select(0, piece)).logits, whole.index_select(0, piece),
                             1e-5, 1e-6));
  }
  const auto order = at::arange(39, -1, -1, at::kLong);
  EXPECT_TRUE(at::allclose(network->forward(x.index_select(0, order)).logits, whole.index_select(0, order),
                           1e-5, 1e-6));
  EXPECT_EQ(network->forward(x.narrow(0, 0, 0)).logits.sizes(), (std::vector<int64_t>{0, 4}));
}

// The rule is part of the function: its gradient is that of finite differences, with the weights' share.
TEST(CombinedPathways, TheAttackersGradientIsThatOfWhatIsComputed) {
  const auto network = network_of(unsure("logits", kRelative));
  spread(*network);
  network->to(at::kDouble);
  const auto x = images(6).to(at::kDouble);
  gw::ForwardOptions attacked;
  attacked.straight_through = false;
  const auto value = [&](const at::Tensor& at_x) {
    return (network->forward(at_x, attacked).logits * at::arange(4, at::kDouble)).sum();
  };
  const auto leaf = x.clone().requires_grad_();
  value(leaf).backward();
  const at::NoGradGuard no_grad;
  double worst = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    const auto move = gw::ops::normal(gw::Rng(seed), x.sizes(), 0, 1).to(at::kDouble) * 1e-6;
    const double slope = (value(x + move) - value(x - move)).item<double>() / 2;
    const double wanted = (leaf.grad() * move).sum().item<double>();
    worst = std::max(worst, std::abs(slope - wanted) / (std::abs(wanted) + 1e-9));
  }
  EXPECT_LT(worst, 1e-3);
}

TEST(CombinedPathways, ProbabilitiesHaveFiniteGradientsWhereAPathwayIsAbsent) {
  const auto network = network_of(unsure("probabilities", kRelative));
  spread(*network);
  const auto x = images().requires_grad_();
  network->forward(x).logits.sum().backward();
  EXPECT_TRUE(at::isfinite(x.grad()).all().item<bool>());
}

// A pathway more for every row more; the price of one is what cost() says.
TEST(CombinedPathways, EveryPathwayIsCounted) {
  const at::NoGradGuard no_grad;
  const auto network = network_of(unsure("logits", kEven));
  spread(*network);
  const auto cost = network->cost();
  const gw::ops::CostRecorder recorder;
  const auto out = network->forward(images());
  EXPECT_EQ(recorder.macs(), 40 * cost.router + out.plans.front().plan.rows() * cost.backbone);
  auto one = unsure("none", "top1_straight_through");
  EXPECT_EQ(network_of(one)->cost().backbone, cost.backbone);
  EXPECT_EQ(network_of(one)->cost().router, cost.router);
}

TEST(CombinedPathways, CompiledNetworksAnswerAlike) {
  const at::NoGradGuard no_grad;
  for (const std::string combine : {"logits", "probabilities"}) {
    for (const char* gate : {"cnn", "certified"}) {
      Json table{{"part", gate}, {"width", 2}};
      if (std::string(gate) == "cnn") table["arch"] = "small";
      const auto network = network_of(unsure(combine, kEven, table));
      spread(*network);
      const gw::CompiledNetwork compiled(*network);
      EXPECT_TRUE(compiled.router_compiled());
      const auto x = images();
      const auto wanted = network->forward(x).logits, got = compiled.run(x).logits;
      // An image whose gap is the threshold to rounding may fall on the other side.
      const auto off = (wanted - got).abs().amax(1).gt(1e-4).sum().item<int64_t>();
      EXPECT_LE(off, 1) << combine << " " << gate;
    }
  }
}

TEST(CombinedPathways, TrainOnTheirAverage) {
  auto options = unsure("logits", kRelative);
  Network network(options, 3, 16, 16, 4);
  network.train();
  network.forward(images()).logits.square().sum().backward();
  double router = 0, backbone = 0;
  for (const auto& p : network.named_parameters()) {
    if (!p.value().grad().defined()) continue;
    (p.key().rfind("router", 0) == 0 ? router : backbone) += p.value().grad().abs().sum().item<double>();
  }
  EXPECT_GT(router, 0);
  EXPECT_GT(backbone, 0);
}

TEST(CombinedPathways, RefuseWhatCannotBeAveraged) {
  const auto refused = [](gw::NetworkOptions options, const std::string& words) {
    try {
      Network network(options, 3, 16, 16, 4);
      ADD_FAILURE() << "accepted; expected: " << words;
    } catch (const gw::ValueError& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  };
  refused(unsure("none", kEven), "expected one expert per image");
  refused(unsure("logits", "adaptive"), "weights of an image's pathways that sum to 1");
  refused(unsure("logits", Json{{"part", "expert_choice"}}), "whatever its batch");
  refused(unsure("logits", "hash"), "got one that needs token_id");
  auto layers = unsure("logits", kEven);
  layers.routing = "layer", layers.gate = "pooled_linear", layers.own = {};
  refused(layers, "expected routing = \"image\"");
  EXPECT_NO_THROW(Network(unsure("logits", Json{{"part", "softmax_top_k"}, {"k", 2}, {"renormalise", true}}),
                          3, 16, 16, 4));
}

}  // namespace gw::test::combined_pathways_cases
