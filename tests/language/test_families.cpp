// Every family against what transformers answers (tests/language/make_language_golden.py).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"
#include "gatewright/language/language_model.h"
#include "gatewright/models/safetensors.h"

namespace gw::test::families_cases {

const std::string kGolden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";

std::vector<std::string> families() {
  std::vector<std::string> names;
  for (const auto& part : Registry::instance().list(LanguageFamily::kKind)) names.push_back(part.name);
  return names;
}

class Family : public testing::TestWithParam<std::string> {
 protected:
  LanguageModel model_ = load_language_model(kGolden + GetParam());
  SafetensorsFile expected_ = load_safetensors(kGolden + GetParam() + "/expected.safetensors");

  at::Tensor logits(const at::Tensor& ids) { return model_.decoder->forward({ids, {ids.size(0)}}).logits; }
};

void expect_close(const at::Tensor& a, const at::Tensor& b, double tolerance, const char* what) {
  ASSERT_EQ(a.sizes(), b.sizes()) << what;
  EXPECT_LE((a - b).abs().max().item<double>(), tolerance) << what;
}

TEST_P(Family, AnswersAsPublished) {
  expect_close(logits(expected_.tensor("ids")), expected_.tensor("logits"), 1e-4, "logits");
  expect_close(logits(expected_.tensor("greedy").narrow(0, 0, 11)), expected_.tensor("short"), 1e-4,
               "short text");
}

TEST_P(Family, ChoosesThePublishedExperts) {
  const auto& ids = expected_.tensor("ids");
  const auto plans = model_.decoder->forward({ids, {ids.size(0)}}).plans;
  size_t routed = 0;
  while (expected_.tensors.count("routes" + std::to_string(routed)) > 0) ++routed;
  ASSERT_EQ(plans.size(), routed);
  for (size_t i = 0; i < routed; ++i) {
    const auto theirs = std::get<0>(expected_.tensor("routes" + std::to_string(i)).sort(1));
    auto dense = at::zeros({ids.size(0), plans[i].plan.experts()});
    dense.index_put_({plans[i].plan.token, expert_of_rows(plans[i].plan)}, at::ones({plans[i].plan.rows()}));
    const auto ours = dense.nonzero().select(1, 1).view({ids.size(0), -1});
    EXPECT_TRUE(at::equal(ours, theirs)) << plans[i].site;
  }
}

TEST_P(Family, GoesOnAsPublished) {
  const auto& greedy = expected_.tensor("greedy");
  DecoderState state;
  auto next = greedy.narrow(0, 0, 9);
  for (int64_t at = 9; at < greedy.size(0); ++at) {
    const auto answer = model_.decoder->forward({next, {next.size(0)}, {&state}, true}).logits;
    ASSERT_EQ(answer.size(0), 1);
    next = answer.argmax(-1);
    ASSERT_EQ(next.item<int64_t>(), greedy[at].item<int64_t>()) << "token " << at;
    ASSERT_EQ(state.length(), at);
  }
}

// A text among others gets the same answer as alone, whether its neighbours begin or go on.
TEST_P(Family, TextsDoNotSeeEachOther) {
  const auto &a = expected_.tensor("ids"), &greedy = expected_.tensor("greedy");
  const auto b = greedy.narrow(0, 3, 5), c = greedy.narrow(0, 9, 14);
  const auto together = model_.decoder->forward({at::cat({b, a, c}), {5, a.size(0), 14}}).logits;
  expect_close(together.narrow(0, 5, a.size(0)), expected_.tensor("logits"), 1e-4, "beside two others");
  DecoderState first, second;
  model_.decoder->forward({at::cat({a.narrow(0, 0, 8), b}), {8, 5}, {&first, &second}});
  const auto more =
      model_.decoder->forward({at::cat({c, a.narrow(0, 8, 15)}), {14, 15}, {&second, &first}}).logits;
  expect_close(more.narrow(0, 14, 15), expected_.tensor("logits").narrow(0, 8, 15), 1e-4, "going on");
}

TEST_P(Family, RoundedWeightsStayNear) {
  const auto& ids = expected_.tensor("ids");
  for (const auto& [weights, tolerance] : {std::pair{"f32", 1e-4}, {"bf16", 0.4}, {"int8", 0.3}}) {
    auto model = load_language_model(kGolden + GetParam(), {weights});
    const auto y = model.decoder->forward({ids, {ids.size(0)}}).logits;
    // A route that flips under rounding moves a token's logits by more than the rounding: most tokens keep
    // theirs.
    const auto worst = (y - expected_.tensor("logits")).abs().amax(1);
    EXPECT_LE(std::get<0>(worst.sort())[ids.size(0) * 3 / 4].item<double>(), tolerance) << weights;
  }
}

std::string shown_name(const testing::TestParamInfo<std::string>& info) { return info.param; }
INSTANTIATE_TEST_SUITE_P(Every, Family, testing::ValuesIn(families()), shown_name);

}  // namespace gw::test::families_cases
