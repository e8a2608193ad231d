// The routers of the model families against numbers that PyTorch computed (make_family_golden.py), and
// against one-flag variants.
#include <gtest/gtest.h>

#include "gatewright/base/json_text.h"
#include "gatewright/routing/families.h"
#include "tests/routing/parts.h"

namespace gw::test::families_cases {

using gw::Json;

const Json& golden() {
  static const Json file = gw::read_json("tests/routing/golden/families.json");
  return file;
}

at::Tensor matrix(const Json& rows) {
  auto out =
      at::empty({static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())}, at::kDouble);
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < rows[i].size(); ++j)
      out.data_ptr<double>()[i * rows[i].size() + j] = rows[i][j].get<double>();
  }
  return out;
}

// The sizes at which the golden file was made.
Json small(const std::string& family) {
  if (family.rfind("deepseek", 0) == 0) return {{"k", 4}, {"groups", 4}, {"kept_groups", 2}};
  if (family == "switch") return {{"capacity", 1}};
  if (family == "nllb") return {{"evaluation_fraction", 0.25}};
  return Json::object();
}

at::Tensor weights(const std::string& family, Json changes = Json::object()) {
  auto options = small(family);
  options.update(changes);
  const auto choice = gw::part_choice("family", gw::family_policy(family, options));
  const auto router = policy(choice.name, choice.options, 16);
  for (const auto& [name, bias] : router->state()) bias.copy_(matrix(Json::array({golden()["bias"]}))[0]);
  // The router's bias is f32 in checkpoints too; rounding it moves no choice, and no weight at all.
  return gw::dense_weights(
      router->plan(matrix(golden()[family == "phimoe" ? "close" : "scores"]), false, gw::Rng(1)));
}

class Family : public testing::TestWithParam<std::string> {};

TEST_P(Family, MatchesPyTorch) {
  const auto expected = matrix(golden()["weights"][GetParam()]);
  EXPECT_LT((weights(GetParam()) - expected).abs().max().item<double>(), 1e-12);
}

TEST_P(Family, HasItsPublishedSizes) {
  for (const auto& family : gw::router_families()) {
    if (family.name != GetParam()) continue;
    const auto choice = gw::part_choice("family", Json::parse(family.policy));
    EXPECT_EQ(policy(choice.name, choice.options, family.experts)->experts(), family.experts);
  }
}

std::vector<std::string> families() {
  std::vector<std::string> names;
  for (const auto& family : gw::router_families()) names.push_back(family.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, Family, testing::ValuesIn(families()), kPartName);

TEST(Families, OneFlagMakesAnotherRouter) {
  const std::vector<std::pair<std::string, Json>> flips = {
      {"olmoe", {{"renormalise", true}}},
      {"qwen2_moe", {{"renormalise", true}}},
      {"qwen3_moe", {{"renormalise", false}}},
      {"switch", {{"capacity", 0}}},
      {"switch", {{"drop_order", "priority"}}},
      {"nllb", {{"renormalise_when", "before_drop"}}},
      {"nllb", {{"expert_masking", 0.0}}},
      {"deepseek_v2", {{"scale", 1.0}}},
      {"deepseek_v2", {{"kept_groups", 4}}},
      {"deepseek_v3", {{"renormalise", false}}},
      {"deepseek_v3", {{"selection_bias", false}}},
      {"deepseek_v3", {{"groups", 2}, {"kept_groups", 1}}},
      {"phimoe", {{"width", 0.001}}},
  };
  for (const auto& [family, flip] : flips) {
    const auto expected = matrix(golden()["weights"][family]);
    EXPECT_GT((weights(family, flip) - expected).abs().max().item<double>(), 1e-3) << family << " " << flip;
  }
}

TEST(Families, SoftmaxTopKRenormalisedIsTopKSoftmax) {
  for (const int64_t k : {1, 2, 5, 16}) {
    const auto scores = distinct_scores(50, 31, 16) * 4;
    const auto a = gw::dense_weights(
        policy("softmax_top_k", {{"k", k}, {"renormalise", true}}, 16)->plan(scores, false, gw::Rng(1)));
    const auto b =
        gw::dense_weights(policy("top_k_softmax", {{"k", k}}, 16)->plan(scores, false, gw::Rng(1)));
    EXPECT_LT((a - b).abs().max().item<double>(), 1e-14) << k;
    // And both are the softmax over the chosen scores alone, written out.
    const auto chosen = scores.topk(k, 1);
    const auto c =
        at::zeros_like(scores).scatter(1, std::get<1>(chosen), at::softmax(std::get<0>(chosen), 1));
    EXPECT_LT((b - c).abs().max().item<double>(), 1e-14) << k;
  }
}

TEST(Families, ClosedGroupsOfScoreZeroAreTheTransformersPort) {
  auto options = small("deepseek_v3");
  options["closed_groups"] = "zero";
  const auto choice = gw::part_choice("family", gw::family_policy("deepseek_v3", options));
  const auto router = policy(choice.name, choice.options, 16);
  router->state()[0].second.copy_(matrix(Json::array({golden()["bias"]}))[0] -
                                  2);  // all biased scores negative: zero wins
  const auto got = gw::dense_weights(router->plan(matrix(golden()["scores"]), false, gw::Rng(1)));
  const auto expected = matrix(golden()["weights"]["deepseek_v3_zero"]);
  // Among equal zeros PyTorch picks any and we the lowest: only the number of experts and the sum are the
  // port's.
  EXPECT_TRUE(got.gt(0).sum(1).equal(expected.gt(0).sum(1)));
  EXPECT_LT((got.sum(1) - expected.sum(1)).abs().max().item<double>(), 1e-12);
  EXPECT_THROW(gw::family_policy("mixtrl"), gw::ValueError);
}

}  // namespace gw::test::families_cases
