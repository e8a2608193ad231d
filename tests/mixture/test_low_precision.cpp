// Layers in bf16: the router decides in f32, experts compute in bf16; autocast; what is refused.
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/serialize.h>

#include <sstream>

#include "gatewright/base/registry.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/load.h"
#include "tests/routing/parts.h"

namespace gw::test::low_precision_cases {

using gw::Json;

constexpr int64_t kTokens = 24, kWidth = 6;

/// Tokens or maps whose numbers bf16 holds.
at::Tensor numbers(bool images) {
  const auto shape =
      images ? std::vector<int64_t>{kTokens, kWidth, 5, 5} : std::vector<int64_t>{kTokens, kWidth};
  return gw::ops::normal(gw::Rng(1), shape, 0, 1).to(at::kBFloat16).to(at::kFloat);
}

Json options(const std::string& gate, const std::string& policy) {
  const bool images = has_trait("gates", gate, "images"), two = has_trait("gates", gate, "2 experts only");
  Json json{{"experts", two ? 2 : 4},
            {"in", kWidth},
            {"seed", 3},
            {"gate", {{"part", gate}}},
            {"policy", {{"part", policy}}}};
  json["bank"] = images ? Json{{"part", "conv"}} : Json{{"part", "mlp"}, {"hidden", 16}};
  return json;
}

struct Pair {
  std::shared_ptr<gw::Mixture> f32, bf16;
};

/// The same layer twice, the weights those of bf16 in both.
std::shared_ptr<gw::Mixture> layer(const Json& json) {
  auto made = gw::Mixture::from_json(json);
  const at::NoGradGuard no_grad;
  for (auto& item : made->bank().named_parameters()) item.value().copy_(item.value().to(at::kBFloat16));
  return made;
}
Pair both(const Json& json) {
  Pair out{layer(json), layer(json)};
  out.bf16->to(at::kBFloat16);
  return out;
}

/// The plan to the bit, and the answer within bf16's rounding of h and y (2^-8 each) times two rows.
void expect_same_route_and_close_answer(const Json& json, const at::Tensor& x,
                                        const gw::RouterInputs& inputs) {
  const auto pair = both(json);
  for (const bool train : {true, false}) {
    pair.f32->train(train), pair.bf16->train(train);
    const auto want = pair.f32->forward(x, inputs);
    const auto got = pair.bf16->forward(x.to(at::kBFloat16), inputs);
    EXPECT_EQ(got.y.scalar_type(), at::kBFloat16);
    EXPECT_EQ(got.plan.weight.scalar_type(), want.plan.weight.scalar_type());
    EXPECT_EQ(got.plan.offsets, want.plan.offsets);
    EXPECT_TRUE(got.plan.token.equal(want.plan.token));
    EXPECT_TRUE(got.plan.weight.equal(want.plan.weight));
    EXPECT_LT((got.y.to(at::kFloat) - want.y).abs().max().item<double>(),
              0.02 * want.y.abs().max().item<double>() + 1e-6);
  }
}

/// Gates whose scores a plain layer can take; all are compared alone below.
std::vector<std::string> plain_gates() {
  std::vector<std::string> out;
  for (const auto& gate : names("gates")) {
    if (!has_trait("gates", gate, "per pixel") && gate != "feature" && gate != "adamole" &&
        gate != "early_exit")
      out.push_back(gate);
  }
  return out;
}

class Bf16Gate : public testing::TestWithParam<std::string> {};
class Bf16Policy : public testing::TestWithParam<std::string> {};

TEST_P(Bf16Gate, ScoresInF32) {
  auto json = options(GetParam(), "softmax_top_k");
  if (has_trait("gates", GetParam(), "needs task")) json["gate"]["tasks"] = 2;
  if (GetParam() == "pre_gate") json["gate"]["first"] = true;
  const bool images = has_trait("gates", GetParam(), "images");
  expect_same_route_and_close_answer(json, numbers(images), gw::test::inputs_for(kTokens));
}

TEST_P(Bf16Policy, RoutesAsTheF32Layer) {
  auto json = options(GetParam() == "adamole" ? "adamole" : "linear", GetParam());
  auto inputs = gw::test::inputs_for(kTokens);
  expect_same_route_and_close_answer(json, numbers(false), inputs);
}

const auto kName = [](const auto& part) { return part.param; };
INSTANTIATE_TEST_SUITE_P(All, Bf16Gate, testing::ValuesIn(plain_gates()), kName);
INSTANTIATE_TEST_SUITE_P(All, Bf16Policy, testing::ValuesIn(names("policies")), kName);

// Every gate, those too that no plain layer takes: its scores do not know the layer's precision.
TEST(Bf16, GatesStayInF32) {
  for (const auto& name : names("gates")) {
    const auto one = gw::test::gate(name), two = gw::test::gate(name);
    one->eval(), two->eval();
    two->to(at::kBFloat16);
    for (const auto& p : two->parameters()) EXPECT_EQ(p.scalar_type(), at::kFloat) << name;
    const auto x = numbers(one->takes_images());
    const auto inputs = gw::test::inputs_for(kTokens);
    const auto want = gw::gate_scores(*one, x, inputs),
               got = gw::gate_scores(*two, x.to(at::kBFloat16), inputs);
    EXPECT_TRUE(got.equal(want)) << name;
    two->to(at::kHalf);
    EXPECT_TRUE(gw::gate_scores(*two, x.to(at::kHalf).to(at::kBFloat16), inputs).scalar_type() == at::kFloat)
        << name;
    two->to(at::kDouble);
    EXPECT_EQ(gw::gate_scores(*two, x.to(at::kDouble), inputs).scalar_type(), at::kDouble) << name;
  }
}

TEST(Bf16, GradientsReachEveryWeight) {
  auto json = options("linear", "top_k_softmax");
  json["shared_experts"] = 1, json["shared_gate"] = true, json["output_bias"] = true;
  const auto pair = both(json);
  const auto x = numbers(false);
  pair.f32->forward(x).y.square().sum().backward();
  pair.bf16->forward(x.to(at::kBFloat16)).y.to(at::kFloat).square().sum().backward();
  const auto want = pair.f32->named_parameters(), got = pair.bf16->named_parameters();
  for (const auto& item : got) {
    const auto g = item.value().grad(), w = want[item.key()].grad();
    ASSERT_TRUE(g.defined()) << item.key();
    EXPECT_LT((g.to(at::kFloat) - w).abs().max().item<double>(), 0.05 * w.abs().max().item<double>())
        << item.key();
  }
}

// Steps of 0.001 on a bias of 0.5, and counts of 1024 apart by one: in bf16 neither moves anything.
TEST(Bf16, SelectionBiasAndCountsStayInF32) {
  const auto made =
      gw::Mixture::from_json({{"experts", 4},
                              {"in", kWidth},
                              {"policy", {{"part", "deepseek_v3"}, {"k", 1}}},
                              {"balancers", {R"({"part": "bias_update", "rate": 0.001})", "relu_l1"}}});
  made->named_buffers()["policy_selection_bias"].fill_(0.5);
  const auto coefficient = made->named_buffers()["relu_l1_coefficient"].item<double>();
  made->to(at::kBFloat16);
  EXPECT_EQ(made->named_buffers()["relu_l1_coefficient"].item<double>(), coefficient);
  const auto bias = made->named_buffers()["policy_selection_bias"];
  ASSERT_EQ(bias.scalar_type(), at::kFloat);
  const auto step = [&](const std::vector<int64_t>& rows, int times) {
    std::vector<at::Tensor> scores;
    for (size_t e = 0; e < rows.size(); ++e)
      scores.push_back(
          at::one_hot(at::full({rows[e]}, static_cast<int64_t>(e), at::kLong), 4).to(at::kFloat) * 20);
    gw::RouterInputs inputs;
    inputs.scores = at::cat(scores);
    for (int i = 0; i < times; ++i) {
      const auto out = made->forward(at::ones({inputs.scores.size(0), kWidth}, at::kBFloat16), inputs);
      for (int64_t e = 0; e < 4; ++e) ASSERT_EQ(out.plan.rows_of(e), rows[static_cast<size_t>(e)]);
      made->end_step();
    }
  };
  step({40, 10, 10, 10}, 50);
  EXPECT_TRUE(at::allclose(bias, at::tensor({0.45f, 0.55f, 0.55f, 0.55f}), 0, 1e-5)) << bias;
  bias.zero_();
  step({1025, 1024, 1024, 1023}, 1);
  EXPECT_TRUE(at::allclose(bias, at::tensor({-0.001f, 0.f, 0.f, 0.001f}), 0, 1e-8)) << bias;
  std::stringstream file;
  torch::save(made, file);
  const auto loaded =
      gw::Mixture::from_json({{"experts", 4},
                              {"in", kWidth},
                              {"policy", {{"part", "deepseek_v3"}, {"k", 1}}},
                              {"balancers", {R"({"part": "bias_update", "rate": 0.001})", "relu_l1"}}});
  loaded->to(at::kBFloat16);
  torch::load(loaded, file);
  EXPECT_TRUE(loaded->named_buffers()["policy_selection_bias"].equal(bias));
}

TEST(Bf16, AutocastRunsTheLayerInTheTypeOfItsWeights) {
  auto json = options("linear", "top_k_softmax");
  json["shared_experts"] = 1, json["shared_gate"] = true;
  const auto pair = both(json);
  const auto x = numbers(false);
  const auto plain = pair.f32->forward(x), low = pair.bf16->forward(x.to(at::kBFloat16));
  struct Autocast {
    Autocast() { at::autocast::set_cpu_enabled(true), at::autocast::increment_nesting(); }
    ~Autocast() {
      at::autocast::clear_cache(), at::autocast::decrement_nesting(), at::autocast::set_cpu_enabled(false);
    }
  } autocast;
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    EXPECT_TRUE(pair.f32->forward(x.to(type)).y.equal(plain.y)) << c10::toString(type);
    EXPECT_TRUE(pair.bf16->forward(x.to(type)).y.equal(low.y)) << c10::toString(type);
  }
}

TEST(Tokens, OfTheWrongKindAreRefusedInWords) {
  const auto f32 = gw::Mixture::from_json({{"in", kWidth}}), half = gw::Mixture::from_json({{"in", kWidth}}),
             bf16 = gw::Mixture::from_json({{"in", kWidth}});
  half->to(at::kHalf), bf16->to(at::kBFloat16);
  f32->set_tap(nullptr, "block 3");
  const auto x = numbers(false);
  const auto refused = [](gw::Mixture& layer, const at::Tensor& tokens,
                          const std::vector<std::string>& words) {
    try {
      layer.forward(tokens);
      ADD_FAILURE() << "accepted; expected: " << words[0];
    } catch (const gw::ValueError& error) {
      for (const auto& word : words)
        EXPECT_NE(std::string(error.what()).find(word), std::string::npos)
            << word << "\nin: " << error.what();
    }
  };
  refused(*f32, x.to(at::kDouble),
          {"mixture \"block 3\"", "torch::kFloat", "torch::kDouble", "x.to(torch::kFloat)"});
  refused(*f32, x.to(at::kHalf), {"torch::kHalf", "x.to(torch::kFloat)"});
  refused(*f32, x.to(at::kBFloat16),
          {"torch::kBFloat16", "x.to(torch::kFloat)", "layer->to(torch::kBFloat16)"});
  refused(*f32, at::ones({3, kWidth}, at::kLong), {"torch::kLong", "x.to(torch::kFloat)"});
  refused(*bf16, x, {"torch::kBFloat16", "x.to(torch::kBFloat16)"});
  refused(*half, x.to(at::kHalf), {"torch::kHalf", "layer->to(torch::kBFloat16)"});
  refused(*half, x, {"torch::kHalf", "layer->to(torch::kBFloat16)"});
  refused(*f32, {}, {"undefined"});
  refused(*f32, x.to_sparse(), {"Sparse", "to_dense()"});
  refused(*f32, at::empty({3, kWidth}, at::TensorOptions().device(at::kMeta)), {"meta"});
  refused(*f32, x.view({2, kTokens / 2, kWidth}), {"flatten to [B*T, D]", "x.flatten(0, 1)"});
  refused(*f32, x.view({kTokens / kWidth, kWidth, kWidth}),
          {"flatten to [B*T, D]"});  // T = D: the second size fits by chance
  refused(*f32, x[0], {"x.unsqueeze(0)"});
  refused(*f32, at::ones({3, 7}), {"[3, 7]", "[T, 6]"});
  EXPECT_EQ(f32->forward(x.view({2, kTokens / 2, kWidth}).flatten(0, 1)).y.size(0), kTokens);
}

}  // namespace gw::test::low_precision_cases
