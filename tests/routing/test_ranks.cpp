// A batch that is spread over ranks: every rank's loss is the whole batch's, and the ranks' gradients are its
// pieces.
#include <gtest/gtest.h>

#include "tests/routing/parts.h"
#include "tests/support/gradcheck.h"
#include "tests/support/ranks.h"

namespace gw::test::ranks_cases {

using Case = std::pair<std::string, gw::Json>;

const std::vector<int64_t> kSizes = {8, 0, 12, 4};  // a rank without tokens takes part as well
constexpr int64_t kTokens = 24;

std::vector<Case> cases() {
  std::vector<Case> out = {{"switch_loss", {{"count", "single"}}},
                           {"entropy", {{"of", "token"}}},
                           {"mutual_information", {{"by", "task"}}},
                           {"device", {{"kind", "communication"}}},
                           {"relu_l1", {{"balanced", false}}}};
  for (const auto& name : names("balancers")) out.emplace_back(name, gw::Json::object());
  return out;
}

/// Tokens [begin, begin + size) of a batch in which every third token has two experts; the last task lives on
/// the last rank alone.
gw::RoutingPlan part_of(const at::Tensor& scores, int64_t begin, int64_t size, bool sequences) {
  const auto token = at::arange(begin, begin + size, at::kLong), own = scores.narrow(0, begin, size);
  auto expert = std::get<1>(own.detach().topk(2, 1));
  expert.select(1, 1).masked_fill_(token.remainder(3).ne(0), -1);
  auto plan = gw::make_plan(expert, at::full({size, 2}, 0.5, scores.options()), kExperts);
  plan.scores = own;
  plan.facts.first_choice = expert.select(1, 0);
  plan.facts.task = at::where(token.ge(20), at::full_like(token, 5), token.remainder(2));
  if (sequences) plan.facts.sequence = at::div(token - begin, 4, "floor");
  return plan;
}

void expect_the_same(const Case& c, bool sequences) {
  SCOPED_TRACE(c.first + " " + c.second.dump() + (sequences ? "" : ", one sequence"));
  const auto part = gw::make_part<gw::Balancer>(c.first, c.second, {kExperts});
  auto scores = distinct_scores(kTokens, 9).requires_grad_(true);
  const auto whole = part->loss(part_of(scores, 0, kTokens, sequences));
  const double size = std::max(1e-6, std::abs(whole.item<double>()));
  std::vector<double> values(kSizes.size());
  std::vector<at::Tensor> gradients(kSizes.size());
  ThreadRanks(kSizes.size()).run([&](size_t rank, std::shared_ptr<const gw::RankSum> ranks) {
    int64_t begin = 0;
    for (size_t r = 0; r < rank; ++r) begin += kSizes[r];
    auto leaf = scores.detach().clone().requires_grad_(true);
    auto plan = part_of(leaf, begin, kSizes[rank], sequences);
    plan.ranks = ranks;
    const auto loss = part->loss(plan);
    values[rank] = loss.item<double>();
    if (loss.requires_grad()) gradients[rank] = torch::autograd::grad({loss}, {leaf})[0];
  });
  for (const double value : values) EXPECT_NEAR(value, whole.item<double>(), 1e-12 * size);
  if (!whole.requires_grad()) return;
  const auto expected = torch::autograd::grad({whole}, {scores})[0];
  auto sum = at::zeros_like(expected);
  for (const auto& g : gradients) sum += g;
  EXPECT_GT(expected.norm().item<double>(), 0);
  EXPECT_LT((sum - expected).abs().max().item<double>(), 1e-11 * expected.abs().max().item<double>());
}

TEST(Ranks, EveryBalancerCountsTheWholeBatch) {
  for (const auto& c : cases()) {
    expect_the_same(c, true);
    expect_the_same(c, false);
  }
}

TEST(Ranks, WithoutTheSumTheLossIsAnother) {
  // The mistake that the seam is for: the mean of the ranks' own losses rewards a batch whose ranks are each
  // collapsed.
  auto scores = at::zeros({8, kExperts}, at::kDouble);
  for (int64_t t = 0; t < 8; ++t)
    scores[t][t / 2] = 60;  // two tokens a rank, every rank at an expert of its own
  const auto part = gw::make_part<gw::Balancer>("switch_loss", {{"coefficient", 1.0}}, {kExperts});
  EXPECT_NEAR(part->loss(best_plan(scores)).item<double>(), 1, 1e-9);
  EXPECT_NEAR(part->loss(best_plan(scores.narrow(0, 0, 2))).item<double>(), 4, 1e-9);
  ThreadRanks(4).run([&](size_t rank, std::shared_ptr<const gw::RankSum> ranks) {
    auto plan = best_plan(scores.narrow(0, 2 * static_cast<int64_t>(rank), 2));
    plan.ranks = ranks;
    EXPECT_NEAR(part->loss(plan).item<double>(), 1, 1e-9);
  });
}

TEST(Ranks, ControllersMoveAlike) {
  auto scores = distinct_scores(kTokens, 9);
  scores.select(1, 2).add_(3);
  const auto state_after = [&](const std::string& name, const gw::RoutingPlan& plan) {
    const auto router = policy("deepseek_v3", {{"k", 1}});
    const auto controller = gw::make_part<gw::Balancer>(
        name, name == "bias_update" ? gw::Json{{"rule", "proportional"}} : gw::Json::object(), {kExperts});
    controller->update(plan, *router);
    return name == "bias_update" ? router->state()[0].second : controller->state()[0].second;
  };
  for (const auto* name : {"bias_update", "relu_l1"}) {
    const auto whole = state_after(name, part_of(scores, 0, kTokens, true));
    ThreadRanks(kSizes.size()).run([&](size_t rank, std::shared_ptr<const gw::RankSum> ranks) {
      int64_t begin = 0;
      for (size_t r = 0; r < rank; ++r) begin += kSizes[r];
      auto plan = part_of(scores, begin, kSizes[rank], true);
      plan.ranks = ranks;
      EXPECT_LT((state_after(name, plan) - whole).abs().max().item<double>(), 1e-9) << name;
    });
  }
}

}  // namespace gw::test::ranks_cases
