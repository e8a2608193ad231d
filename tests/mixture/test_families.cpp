// Whole layers of published families against their experts' formulas, written out from the papers' models and
// not from our options.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/families.h"
#include "gatewright/routing/plan.h"

namespace gw::test::families_cases {

constexpr int64_t kWidth = 6, kTokens = 7;

/// What the published code of a family says about one expert, and what it adds for every token.
struct Published {
  bool gated = true, bias = false, clamped = false;
  at::Tensor (*f)(const at::Tensor&) = [](const at::Tensor& x) { return at::silu(x); };
  int64_t width = 0, shared = 0, shared_width = 0;
  bool shared_gate = false, output_bias = false;
};

at::Tensor relu(const at::Tensor& x) { return at::relu(x); }
at::Tensor swigluoai(const at::Tensor& x) { return x * at::sigmoid(1.702 * x); }

const std::map<std::string, Published>& published() {
  static const std::map<std::string, Published> all = [] {
    std::map<std::string, Published> out;
    const std::map<std::string, int64_t> widths{
        {"mixtral", 14336}, {"olmoe", 1024},       {"qwen2_moe", 1408},   {"qwen3_moe", 768},
        {"granite", 512},   {"gpt_oss", 2880},     {"jetmoe", 5632},      {"switch", 3072},
        {"nllb", 8192},     {"deepseek_v2", 1536}, {"deepseek_v3", 2048}, {"phimoe", 6400}};
    for (const auto& [name, width] : widths) out[name].width = width;
    auto &qwen2 = out["qwen2_moe"], &v2 = out["deepseek_v2"], &v3 = out["deepseek_v3"], &oss = out["gpt_oss"];
    qwen2.shared = 1, qwen2.shared_width = 5632, qwen2.shared_gate = true;
    v2.shared = 2, v2.shared_width = 1536, v3.shared = 1, v3.shared_width = 2048;
    oss.bias = oss.clamped = true, oss.f = swigluoai;
    out["jetmoe"].output_bias = true;
    out["switch"].gated = out["nllb"].gated = false, out["switch"].f = out["nllb"].f = relu,
    out["nllb"].bias = true;
    return out;
  }();
  return all;
}

at::Tensor expert(const Published& p, gw::Mixture& layer, const std::string& bank, int64_t e,
                  const at::Tensor& x) {
  const auto all = layer.named_parameters();
  const auto product = [&](const char* weight, const char* bias, const at::Tensor& in) {
    const auto y = at::matmul(in, all[bank + weight][e].t());
    return p.bias ? y + all[bank + bias][e] : y;
  };
  auto h = product("w1", "b1", x);
  if (p.gated) {
    auto gate = product("wg", "bg", x);
    if (p.clamped) gate = gate.clamp_max(7), h = h.clamp(-7, 7) + 1;
    h = p.f(gate) * h;
  } else {
    h = p.f(h);
  }
  return product("w2", "b2", h);
}

at::Tensor written_out(const Published& p, gw::Mixture& layer, const gw::RoutingPlan& plan,
                       const at::Tensor& x) {
  const auto weight = gw::dense_weights(plan);
  auto y = at::zeros_like(x), shared = at::zeros_like(x);
  for (int64_t e = 0; e < weight.size(1); ++e)
    y = y + weight.narrow(1, e, 1) * expert(p, layer, "bank.", e, x);
  for (int64_t s = 0; s < p.shared; ++s) shared = shared + expert(p, layer, "shared.", s, x);
  if (p.shared_gate)
    shared = shared * at::sigmoid(at::matmul(x, layer.named_parameters()["shared_gate"].t()));
  if (p.output_bias) y = y + layer.named_parameters()["output_bias"];
  return y + shared;
}

gw::Json narrow(const std::string& family) {
  gw::Json changes{{"in", kWidth}, {"bank", {{"hidden", 5}}}};
  if (published().at(family).shared_gate) changes["shared_bank"] = {{"hidden", 9}};
  return gw::family_mixture(family, changes);
}

class Family : public testing::TestWithParam<std::string> {};

TEST_P(Family, EqualsItsFormulaForwardAndBackward) {
  const auto& p = published().at(GetParam());
  const auto layer = gw::Mixture::from_json(narrow(GetParam()));
  layer->to(at::kDouble);
  layer->eval();
  // Products around 6: a limit of 7 holds some of them and lets others pass. Biases start at zero and would
  // hide.
  const at::NoGradGuard no_grad;
  for (auto& item : layer->named_parameters()) {
    if (item.key().rfind("gate.", 0) != 0)
      item.value().copy_(gw::ops::normal(gw::Rng(5).fork(item.key()), item.value().sizes(), 0, 1));
  }
  const at::AutoGradMode grad(true);
  auto x = (3 * gw::ops::normal(gw::Rng(1), {kTokens, kWidth}, 0, 1)).to(at::kDouble).requires_grad_(true);
  const auto out = layer->forward(x);
  const auto want = written_out(p, *layer, out.plan, x);
  EXPECT_LT(((out.y - want).abs().max() / want.abs().max()).item<double>(), 1e-13);
  auto inputs = layer->parameters();
  inputs.push_back(x);
  const auto got = torch::autograd::grad({out.y.square().sum()}, inputs, {}, true, false, true);
  const auto wanted = torch::autograd::grad({want.square().sum()}, inputs, {}, true, false, true);
  for (size_t i = 0; i < got.size(); ++i) {
    if (!got[i].defined()) continue;
    EXPECT_LT((got[i] - wanted[i]).abs().max().item<double>(),
              1e-11 * (1 + wanted[i].abs().max().item<double>()))
        << i;
  }
}

TEST_P(Family, HasThePublishedShapes) {
  const auto& p = published().at(GetParam());
  const auto json = gw::family_mixture(GetParam());
  EXPECT_EQ(json["bank"]["hidden"], p.width);
  const auto layer = gw::Mixture::from_json(narrow(GetParam()));
  const auto all = layer->named_parameters();
  for (const std::string bank : {"bank.", "shared."}) {
    const bool here = bank == "bank." || p.shared > 0;
    EXPECT_EQ(all.contains(bank + "w1"), here) << bank;
    EXPECT_EQ(all.contains(bank + "wg"), here && p.gated) << bank;
    EXPECT_EQ(all.contains(bank + "b1"), here && p.bias) << bank;
    EXPECT_EQ(all.contains(bank + "b2"), here && p.bias) << bank;
  }
  if (p.shared == 0) return;
  const auto shared = json.contains("shared_bank") ? json["shared_bank"] : json["bank"];
  EXPECT_EQ(shared["hidden"], p.shared_width);
}

std::vector<std::string> families() {
  std::vector<std::string> out;
  for (const auto& family : gw::router_families()) out.push_back(family.name);
  return out;
}
const auto kName = [](const auto& family) { return family.param; };
INSTANTIATE_TEST_SUITE_P(All, Family, testing::ValuesIn(families()), kName);

TEST(FamilyChanges, AreMergedIntoTables) {
  const auto one = gw::family_mixture(
      "deepseek_v3", {{"policy", {{"k", 4}}}, {"gate", {{"bias", true}}}, {"bank", {{"hidden", 64}}}});
  auto policy = gw::family_policy("deepseek_v3");
  policy["k"] = 4;
  EXPECT_EQ(one["policy"], policy);
  EXPECT_EQ(one["gate"], gw::Json({{"part", "linear"}, {"bias", true}}));
  EXPECT_EQ(one["bank"]["hidden"], 64);
  EXPECT_EQ(one["bank"]["activation"], "silu");
  EXPECT_EQ(gw::family_mixture("gpt_oss", {{"gate", {{"init_scale", 1.0}}}})["gate"]["bias"], true);
  // Another part has other options: none of the family's are left.
  EXPECT_EQ(
      gw::family_mixture("deepseek_v3", {{"policy", {{"part", "softmax_top_k"}, {"k", 2}}}})["policy"].size(),
      2u);
  EXPECT_EQ(gw::family_mixture("deepseek_v3", {{"gate", "cosine"}})["gate"], "cosine");
  EXPECT_THROW(gw::Mixture::from_json(gw::family_mixture("mixtral", {{"in", 6}, {"bank", {{"hiden", 5}}}})),
               gw::ValueError);
}

}  // namespace gw::test::families_cases
