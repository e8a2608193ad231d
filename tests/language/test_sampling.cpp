// Which token is drawn: against a plain sort of the whole vocabulary.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "gatewright/base/error.h"
#include "gatewright/language/sampling.h"
#include "gatewright/ops/random.h"

namespace gw::test::sampling_cases {

struct One {
  double logit, chance;
  int64_t token;
};

/// The published recipe, a step after the other.
int64_t plain_choice(const at::Tensor& logits, const std::vector<int32_t>& text, const SamplingOptions& o) {
  const std::set<int32_t> seen(text.begin(), text.end());
  std::vector<One> all;
  for (int64_t i = 0; i < logits.numel(); ++i) {
    double logit = logits[i].item<float>();
    if (seen.count(static_cast<int32_t>(i)) > 0)
      logit = logit > 0 ? logit / o.repetition_penalty : logit * o.repetition_penalty;
    if (std::isfinite(logit)) all.push_back({logit, 0, i});
  }
  std::stable_sort(all.begin(), all.end(), [](const One& a, const One& b) { return a.logit > b.logit; });
  if (o.temperature == 0) return all.front().token;
  if (o.top_k > 0) all.resize(std::min(all.size(), static_cast<size_t>(o.top_k)));
  double sum = 0;
  for (auto& one : all) sum += one.chance = std::exp((one.logit - all.front().logit) / o.temperature);
  size_t count = 0;
  for (double together = 0; count < all.size() && together < o.top_p; ++count)
    together += all[count].chance /= sum;
  if (o.top_p >= 1) count = all.size();
  all.resize(std::max<size_t>(count, 1));
  double left = 0;
  std::erase_if(all, [&](const One& one) { return one.chance < o.min_p * all.front().chance; });
  for (const auto& one : all) left += one.chance;
  left *= Rng(static_cast<uint64_t>(o.seed)).fork("sampling").uniform(text.size());
  for (const auto& one : all)
    if ((left -= one.chance) < 0) return one.token;
  return all.back().token;
}

TEST(Sampling, DrawsAsAPlainSortDoes) {
  SamplingOptions warm, few, near, likely, all, cold;
  warm.temperature = 0.8, few.temperature = 1, few.top_k = 5, near.temperature = 1.5, near.top_p = 0.7;
  likely.temperature = 1.2, likely.min_p = 0.3;
  all.temperature = 1, all.top_k = 40, all.top_p = 0.9, all.min_p = 0.05, all.repetition_penalty = 1.3;
  cold.repetition_penalty = 1.5;
  int number = 0;
  for (auto o : {warm, few, near, likely, all, cold}) {
    std::vector<int32_t> text;
    std::set<int64_t> drawn;
    for (int step = 0; step < 60; ++step) {
      auto logits = ops::normal(Rng(7).fork("step", static_cast<uint64_t>(step % 5)), {200}, 0, 2);
      logits[3] = std::numeric_limits<float>::quiet_NaN();
      logits[4] = std::numeric_limits<float>::infinity(), logits[5] = -std::numeric_limits<float>::infinity();
      o.seed = step / 7;
      const auto token = choose_token(logits, text, o);
      ASSERT_EQ(token, plain_choice(logits, text, o)) << "options " << number << ", step " << step;
      text.push_back(static_cast<int32_t>(token)), drawn.insert(token);
    }
    EXPECT_GT(drawn.size(), 3u) << "options " << number;
    ++number;
  }
}

TEST(Sampling, TheLikeliestIsTheFirstOfEquals) {
  auto logits = at::zeros({50});
  logits[20] = 3, logits[31] = 3;
  EXPECT_EQ(choose_token(logits, {}, {}), 20);
  EXPECT_EQ(choose_token(-at::ones({4}), {}, {}), 0);
}

TEST(Sampling, WantsAFiniteLogit) {
  const auto broken = at::full({9}, std::numeric_limits<double>::quiet_NaN());
  SamplingOptions warm;
  warm.temperature = 1;
  EXPECT_THROW(choose_token(broken, {}, {}), NumericError);
  EXPECT_THROW(choose_token(broken, {}, warm), NumericError);
  EXPECT_THROW(choose_token(at::full({9}, -HUGE_VAL), {}, {}), NumericError);
}

}  // namespace gw::test::sampling_cases
