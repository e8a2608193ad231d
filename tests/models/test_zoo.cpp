// Sizes of the zoo against closed formulas (make_zoo_golden.py) and the published table; structure against
// plain ATen.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "gatewright/base/json_text.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/network.h"
#include "gatewright/ops/random.h"

namespace gw::test::zoo_cases {

using gw::Json;
using gw::Network;

gw::NetworkOptions options_for(const std::string& backbone, int64_t experts, double ratio,
                               const OptionTable& backbone_options = {}) {
  gw::NetworkOptions o;
  o.backbone = backbone, o.experts = experts, o.ratio = ratio, o.backbone_options = backbone_options,
  o.seed = 3;
  return o;
}

at::Tensor images(int64_t batch, int64_t channels, int64_t height, int64_t width) {
  return gw::ops::uniform(gw::Rng(4), {batch, channels, height, width}, 0, 1);
}

const Json& golden_rows() {
  static const Json rows = gw::read_json(std::string(GW_SOURCE_ROOT) + "tests/models/golden/zoo_counts.json");
  return rows;
}

/// Over the rows of the golden file.
class ZooCounts : public testing::TestWithParam<size_t> {};

TEST_P(ZooCounts, EqualTheClosedFormulas) {
  const auto& row = golden_rows()[GetParam()];
  const int64_t channels = row["channels"], height = row["height"], width = row["width"];
  Network network(options_for(row["backbone"], row["experts"], row["ratio"]), channels, height, width, 10);
  const auto cost = network.cost();
  EXPECT_EQ(cost.backbone, row["backbone_macs"].get<int64_t>());
  EXPECT_EQ(cost.router, row["router_macs"].get<int64_t>());
  EXPECT_EQ(network.parameter_count(), row["weights"].get<int64_t>() + row["norms"].get<int64_t>());
  const at::NoGradGuard no_grad;
  network.eval();
  const auto logits = network.forward(images(2, channels, height, width)).logits;
  EXPECT_EQ(logits.sizes(), at::IntArrayRef({2, 10}));
  EXPECT_TRUE(logits.isfinite().all().item<bool>());
  EXPECT_GT((logits[0] - logits[1]).abs().max().item<double>(), 0);  // the image reaches the head
}

std::string count_name(const testing::TestParamInfo<size_t>& info) {
  const auto& r = golden_rows()[info.param];
  return fmt::format("{}_{}x{}x{}_{}experts_{}", r["backbone"].get<std::string>(), r["channels"].get<int>(),
                     r["height"].get<int>(), r["width"].get<int>(), r["experts"].get<int>(),
                     static_cast<int>(100 * r["ratio"].get<double>()));
}

INSTANTIATE_TEST_SUITE_P(All, ZooCounts, testing::Range<size_t>(0, golden_rows().size()), count_name);

/// Dense, pathway and pathway + router in G multiply-adds; dense and MoE + router in M weights (convolutions
/// and matrix products), as the table of Zhang et al. 2023, recounted from their code, has them; 0: not in
/// the table.
struct Published {
  const char* backbone;
  const char *dense, *pathway, *with_router;
  double weights_digit, dense_weights, moe_weights;
};

TEST(Zoo, CountsRoundToThePublishedTable) {
  const auto find = [&](const std::string& backbone, int experts, double ratio) {
    for (const auto& r : golden_rows()) {
      if (r["backbone"] == backbone && r["height"] == 32 && r["experts"] == experts && r["ratio"] == ratio)
        return r;
    }
    return Json();
  };
  const std::vector<Published> table{{"resnet18", "0.5554", "0.1517", "0.1923", 0.01, 11.16, 5.83},
                                     {"wrn28_10", "5.243", "1.311", "1.351", 0.1, 36.5, 18.5},
                                     {"vgg16_bn", "0.3138", "0.0791", "0.1196", 0, 0, 0}};
  for (const auto& p : table) {
    const auto dense = find(p.backbone, 1, 1), moe = find(p.backbone, 2, 0.5);
    const size_t digits = std::string(p.dense).size() - 2;
    const auto giga = [&](double macs) { return fmt::format("{:.{}f}", macs / 1e9, digits); };
    const double pathway = moe["backbone_macs"], router = moe["router_macs"];
    EXPECT_EQ(giga(dense["backbone_macs"]), p.dense);
    EXPECT_EQ(giga(pathway), p.pathway);
    EXPECT_EQ(giga(pathway + router), p.with_router);
    EXPECT_EQ(fmt::format("{:.1f}", router / 1e6), "40.6");
    if (p.weights_digit == 0) continue;
    EXPECT_NEAR(dense["weights"].get<double>() / 1e6, p.dense_weights, p.weights_digit / 2);
    EXPECT_NEAR(moe["weights"].get<double>() / 1e6, p.moe_weights, p.weights_digit / 2);
  }
}

TEST(Zoo, TheRouterHasThePublishedSize) {
  Network network(options_for("resnet18", 2, 0.5), 3, 32, 32, 10);
  int64_t weights = 0, norms = 0;
  for (const auto& item : network.router()->named_parameters()) {
    (item.key().find("norm") == std::string::npos ? weights : norms) += item.value().numel();
  }
  EXPECT_EQ(weights,
            267826);  // published: 0.268 M; 27·16 + 54·16² + 9·16·32 + 45·32² + 9·32·64 + 45·64² + 65·2
  EXPECT_EQ(norms, 1376);
  EXPECT_EQ(network.cost().router, 40550528);
}

std::string refusal(const std::string& backbone, int64_t height, int64_t width,
                    const OptionTable& backbone_options = {}) {
  try {
    Network(options_for(backbone, 1, 1, backbone_options), 3, height, width, 10)
        .cost();  // builds, and passes one image
  } catch (const gw::ValueError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(Zoo, TooSmallImagesAndImpossibleDepthsAreRefused) {
  for (const auto& part : gw::Registry::instance().list("models")) {
    const auto wanted = "models/" + part.name + ": expected images of at least 8x8, got ";
    EXPECT_NE(refusal(part.name, 7, 32).find(wanted + "7x32"), std::string::npos)
        << refusal(part.name, 7, 32);
    EXPECT_NE(refusal(part.name, 32, 7).find(wanted + "32x7"), std::string::npos)
        << refusal(part.name, 32, 7);
    EXPECT_EQ(refusal(part.name, 8, 8), "accepted");
  }
  EXPECT_NE(refusal("wrn28_10", 32, 32, Json{{"depth", 27}}).find("expected a depth of 6·n + 4, got 27"),
            std::string::npos);
  EXPECT_NE(refusal("densenet_bc", 32, 32, Json{{"depth", 41}}).find("expected a depth of 6·n + 4, got 41"),
            std::string::npos);
}

/// A network's tensors by name, and its layers in plain ATen, evaluation mode.
class Reference {
 public:
  explicit Reference(Network& network) {
    for (const auto& item : network.backbone().named_parameters()) tensors_[item.key()] = item.value();
    for (const auto& item : network.backbone().named_buffers()) tensors_[item.key()] = item.value();
  }
  at::Tensor get(const std::string& name) const { return tensors_.at(name); }
  at::Tensor conv(const at::Tensor& x, const std::string& weight, int64_t stride = 1) const {
    const auto w = get(weight);
    return at::conv2d(x, w, {}, stride, w.size(2) / 2);
  }
  at::Tensor norm(const at::Tensor& x, const std::string& prefix, const std::string& names = "") const {
    return at::batch_norm(x, get(prefix + names + "weight"), get(prefix + names + "bias"),
                          get(prefix + "running_mean"), get(prefix + "running_var"), false, 0, 1e-5, false);
  }
  /// Convolution, norm, ReLU.
  at::Tensor block(const at::Tensor& x, const std::string& name, int64_t stride = 1) const {
    return norm(conv(x, name + ".conv.weight", stride), name + ".conv.", "norm_").relu();
  }
  at::Tensor head(const at::Tensor& x, const std::string& name = "head") const {
    return at::linear(x, get(name + ".weight"), get(name + ".bias"));
  }

 private:
  std::map<std::string, at::Tensor> tensors_;
};

at::Tensor wide_resnet(const Reference& r, at::Tensor x, int64_t blocks) {
  x = r.conv(x, "stem.weight");
  for (int stage = 1; stage <= 3; ++stage) {
    for (int64_t b = 1; b <= blocks; ++b) {
      const auto name = fmt::format("stage{}_{}", stage, b);
      const int64_t stride = stage > 1 && b == 1 ? 2 : 1;
      const auto active = r.norm(x, name + ".norm.").relu();
      const auto y = r.conv(r.block(active, name + ".conv1", stride), name + ".conv2.weight");
      x = y + (b == 1 ? r.conv(active, name + ".shortcut.weight", stride) : x);
    }
  }
  return r.head(r.norm(x, "norm.").relu().mean({2, 3}));
}

at::Tensor densenet(const Reference& r, at::Tensor x, int64_t layers) {
  x = r.conv(x, "stem.weight");
  for (int block = 1; block <= 3; ++block) {
    for (int64_t i = 1; i <= layers; ++i) {
      const auto name = fmt::format("block{}_{}", block, i);
      const auto narrow = r.block(r.norm(x, name + ".norm.").relu(), name + ".conv1");
      x = at::cat({x, r.conv(narrow, name + ".conv2.weight")}, 1);
    }
    if (block == 3) break;
    const auto name = fmt::format("transition{}", block);
    x = at::avg_pool2d(r.conv(r.norm(x, name + ".norm.").relu(), name + ".conv.weight"), {2, 2});
  }
  return r.head(r.norm(x, "norm.").relu().mean({2, 3}));
}

at::Tensor vgg(const Reference& r, at::Tensor x) {
  for (int group = 1; group <= 5; ++group) {
    for (int i = 1; i <= (group < 3 ? 2 : 3); ++i) x = r.block(x, fmt::format("conv{}_{}", group, i));
    x = at::max_pool2d(x, {2, 2});
  }
  const auto features = x.size(2) == 1 ? x.expand({-1, -1, 2, 2}) : x;  // 64×64 images leave 2×2
  return r.head(r.head(r.head(features.flatten(1), "head1").relu(), "head2").relu(), "head3");
}

/// Trains the statistics away from 0 and 1, then compares evaluation with `reference`, f64.
template <class F>
void expect_structure(const std::string& backbone, const OptionTable& backbone_options, int64_t size,
                      F&& reference) {
  Network network(options_for(backbone, 1, 1, backbone_options), 3, size, size, 10);
  network.to(at::kDouble);
  const at::NoGradGuard no_grad;
  const auto x = images(4, 3, size, size).to(at::kDouble);
  for (auto& p : network.parameters()) {
    if (p.dim() == 1)
      p.add_(gw::ops::uniform(gw::Rng(9), p.sizes(), 0, 0.5).to(at::kDouble));  // norms that are no identity
  }
  network.train();
  network.forward(x);
  network.eval();
  const auto wanted = reference(Reference(network), x);
  EXPECT_LT((network.forward(x).logits - wanted).abs().max().template item<double>() /
                wanted.abs().max().template item<double>(),
            1e-10);
}

TEST(Zoo, WideResNetIsThePublishedStructure) {
  expect_structure("wrn28_10", Json{{"depth", 16}, {"widen", 2}}, 16,
                   [](const Reference& r, const at::Tensor& x) { return wide_resnet(r, x, 2); });
}

TEST(Zoo, DenseNetIsThePublishedStructure) {
  expect_structure("densenet_bc", Json{{"depth", 16}, {"growth", 4}}, 16,
                   [](const Reference& r, const at::Tensor& x) { return densenet(r, x, 2); });
}

TEST(Zoo, VggIsThePublishedStructure) {
  for (const int64_t size : {32, 64}) expect_structure("vgg16_bn", Json{{"width", 4}}, size, vgg);
}

}  // namespace gw::test::zoo_cases
