// Balanced plans: marginals, optimality against brute force, and what is said when a solver does not
// converge.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "gatewright/routing/transport.h"
#include "tests/routing/parts.h"
#include "tests/support/gradcheck.h"

namespace gw::test::transport_cases {

TEST(Sinkhorn, MarginalsHoldAndThePlanIsAScaledKernel) {
  for (const double size : {1.0, 30.0, 1000.0}) {  // the last would overflow any plain exponential
    const auto scores = distinct_scores(64, 3) * size;
    const auto result = gw::sinkhorn(scores, 1.0 * size, 500, 1e-6);
    EXPECT_LE(result.residual, 1e-6) << size;
    EXPECT_LT((result.plan.sum(1) - 1).abs().max().item<double>(), 1e-12);
    EXPECT_LT((result.plan.sum(0) - 16).abs().max().item<double>(), 16 * 1e-6);
    // ln plan − s/τ = a row term plus a column term: all 2×2 cross differences vanish.
    const auto rest = result.plan.log() - scores / size;
    const auto cross = rest - rest.narrow(0, 0, 1) - rest.narrow(1, 0, 1) + rest[0][0];
    EXPECT_LT(cross.abs().max().item<double>(), 1e-9);
  }
  EXPECT_EQ(gw::sinkhorn(distinct_scores(0, 1), 1, 10, 1e-3).plan.size(0), 0);
}

TEST(Sinkhorn, SaysAfterHowManyIterationsAndHowFarOff) {
  const auto part = policy("sinkhorn", {{"iterations", 2}, {"tolerance", 1e-9}, {"temperature", 0.01}});
  auto scores = distinct_scores(64, 3);
  scores.select(1, 1).add_(5);
  try {
    part->plan(scores, true, gw::Rng(1));
    FAIL() << "expected an error";
  } catch (const gw::ValueError& error) {
    EXPECT_NE(
        std::string(error.what()).find("after 2 iterations; raise temperature, iterations or tolerance"),
        std::string::npos)
        << error.what();
    EXPECT_NE(std::string(error.what()).find("column sums within 1e-09, got "), std::string::npos)
        << error.what();
  }
  EXPECT_NO_THROW(part->plan(scores, false, gw::Rng(1)));  // evaluation uses no plan
  // The remedies work, each alone.
  scores = distinct_scores(64, 3);
  for (const auto& remedy :
       {gw::Json{{"temperature", 1e3}}, gw::Json{{"iterations", 100000}}, gw::Json{{"tolerance", 1.0}}}) {
    gw::Json options{{"iterations", 2}, {"tolerance", 1e-3}, {"temperature", 0.5}};
    EXPECT_THROW(policy("sinkhorn", options)->plan(scores, true, gw::Rng(1)), gw::ValueError);
    options.update(remedy);
    EXPECT_NO_THROW(policy("sinkhorn", options)->plan(scores, true, gw::Rng(1))) << remedy.dump();
  }
  const auto lax =
      policy("sinkhorn", {{"iterations", 2}, {"tolerance", 1e-9}, {"temperature", 0.01}, {"strict", false}});
  EXPECT_NO_THROW(lax->plan(scores, true, gw::Rng(1)));
}

double value_of(const at::Tensor& scores, const at::Tensor& expert) {
  return scores.gather(1, expert.unsqueeze(1)).sum().item<double>();
}

TEST(BalancedAssignment, IsTheBestAmongAllPermutations) {
  for (const uint64_t seed : {1u, 2u, 3u, 4u, 5u}) {
    const auto scores = distinct_scores(6, seed, 3);
    std::vector<int64_t> deal = {0, 0, 1, 1, 2, 2};
    double best = -HUGE_VAL;
    do best = std::max(best, value_of(scores, at::tensor(deal, at::kLong)));
    while (std::next_permutation(deal.begin(), deal.end()));
    const auto expert = gw::balanced_assignment(scores, 1e-4);
    const double range = (scores.max() - scores.min()).item<double>();
    EXPECT_NEAR(value_of(scores, expert), best, 6e-4 * range) << seed;
    EXPECT_TRUE(at::bincount(expert, {}, 3).eq(2).all().item<bool>());
  }
}

TEST(BalancedAssignment, SharesEvenlyWhateverTheScores) {
  for (const int64_t tokens : {1, 3, 7, 64, 256}) {  // fewer than experts, and not divisible
    auto scores = distinct_scores(tokens, 9);
    scores.select(1, 0).add_(50);  // everybody wants expert 0
    const auto rows = at::bincount(gw::balanced_assignment(scores, 1e-3), {}, kExperts);
    EXPECT_LE(rows.max().item<int64_t>(), (tokens + kExperts - 1) / kExperts) << tokens;
    EXPECT_EQ(rows.sum().item<int64_t>(), tokens);
  }
  EXPECT_TRUE(gw::balanced_assignment(at::zeros({8, kExperts}), 1e-3).defined());  // all ties
}

TEST(SparseTransport, ColumnsAreSparseAndRowsCarryTheirMass) {
  const int64_t tokens = 64, experts = 8;
  const auto scores = gw::ops::uniform(gw::Rng(4), {tokens, experts}, 0, 1).to(at::kDouble).neg();
  double before = HUGE_VAL;
  for (const int64_t k : {8, 12, 16, 64}) {
    const auto result = gw::sparse_transport(scores, k, 4.0, 3000, 1e-3);
    EXPECT_LE(result.plan.gt(0).sum(0).max().item<int64_t>(), k);
    EXPECT_LT((result.plan.sum(0) - 8).abs().max().item<double>(), 1e-9);  // columns are exact
    EXPECT_NEAR((result.plan.sum(1) - 1).abs().max().item<double>(), result.residual, 1e-9);
    EXPECT_LE(result.residual, k == 8    ? 0
                               : k >= 16 ? 0.02
                                         : 0.1)
        << k;  // between T/E and what γ wants the best α lies on a kink
    // Cost ⟨−s, plan⟩/T plus the squared penalty falls as more tokens are allowed.
    const auto plan = result.plan / static_cast<double>(tokens);
    const double cost = (-(scores * plan).sum() + 2.0 * plan.square().sum()).item<double>();
    EXPECT_LE(cost, before + 5e-3) << k;
    before = cost;
  }
  EXPECT_THROW(gw::sparse_transport(scores, 7, 1.0, 10, 1e-3), gw::ValueError);
}

TEST(SparseTransport, TheLeastRoomIsTheBestAssignment) {
  const auto scores = distinct_scores(6, 3, 3);
  std::vector<int64_t> deal = {0, 0, 1, 1, 2, 2};
  double best = -HUGE_VAL;
  do best = std::max(best, value_of(scores, at::tensor(deal, at::kLong)));
  while (std::next_permutation(deal.begin(), deal.end()));
  for (const double gamma : {0.1, 100.0}) {
    const auto plan = gw::sparse_transport(scores, 2, gamma, 10, 1e-3).plan;
    EXPECT_TRUE(plan.eq(0).logical_or(plan.eq(1)).all().item<bool>());
    EXPECT_NEAR((plan * scores).sum().item<double>(), best,
                6e-4 * (scores.max() - scores.min()).item<double>());
  }
  // Ten tokens over eight experts need 10 + 8 − 2 = 16 entries, two per expert; eleven need 18, so three,
  // although two have room.
  EXPECT_EQ(gw::least_room(7, 3), 3);
  EXPECT_EQ(gw::least_room(10, 8), 2);
  EXPECT_EQ(gw::least_room(11, 8), 3);
  EXPECT_EQ(gw::least_room(64, 8), 8);
  EXPECT_THROW(gw::sparse_transport(distinct_scores(11, 1, 8), 2, 1.0, 10, 1e-3), gw::ValueError);
}

TEST(SparseTransport, ATightLimitIsMetByASmallerPenalty) {
  int stalled = 0;
  for (const int64_t tokens : {64, 250}) {
    for (const double size : {0.3, 2.0}) {
      const auto scores = gw::ops::normal(gw::Rng(4), {tokens, 8}, 0, size).to(at::kDouble);
      for (const double factor : {1.1, 1.25, 1.5}) {
        const auto k = static_cast<int64_t>(std::ceil(static_cast<double>(tokens) / 8 * factor));
        for (const double gamma : {1.0, 16.0}) {
          const auto fixed = gw::sparse_transport(scores, k, gamma, 400, 0.05),
                     lowered = gw::sparse_transport(scores, k, gamma, 800, 0.05, true);
          EXPECT_EQ(fixed.gamma, gamma);
          EXPECT_LE(lowered.residual, 0.05)
              << tokens << " " << size << " " << k << " " << gamma << " → " << lowered.gamma;
          EXPECT_LE(lowered.plan.gt(0).sum(0).max().item<int64_t>(), k);
          if (fixed.residual <= 0.05) continue;
          ++stalled;
          EXPECT_LT(lowered.gamma, gamma);
        }
      }
    }
  }
  EXPECT_GT(stalled, 4) << "nothing stalls at a fixed penalty: this test proves nothing";
}

TEST(SparseTransport, WithoutALimitItSolvesTheQuadraticProblem) {
  // Optimality of min ⟨−s, P⟩ + (γ/2)‖P‖² with given marginals: γ P = s + α + β on the support, and s + α + β
  // ≤ 0 off it.
  const int64_t tokens = 12, experts = 3;
  const auto scores = distinct_scores(tokens, 5, experts) * 0.1;
  const double gamma = 2.0;
  const auto result = gw::sparse_transport(scores, tokens, gamma, 5000, 1e-9);
  ASSERT_LE(result.residual, 1e-8);
  const auto excess =
      gamma * result.plan / static_cast<double>(tokens) - scores;  // = α_t + β_e on the support
  const auto support = result.plan.gt(0);
  for (int64_t e = 1; e < experts; ++e) {  // differences of β do not depend on the token
    const auto both = support.select(1, e).logical_and(support.select(1, 0));
    const auto difference = (excess.select(1, e) - excess.select(1, 0)).masked_select(both);
    ASSERT_GT(difference.numel(), 1);
    EXPECT_LT((difference.max() - difference.min()).item<double>(), 1e-6);
  }
}

// Fails if the slope is not that of the value: a wrong projection, sign or factor.
TEST(SparseTransport, TheSemiDualsSlopeIsItsDerivative) {
  const int64_t tokens = 16, experts = 3;
  const auto scores = distinct_scores(tokens, 8, experts);
  auto alpha = gw::ops::normal(gw::Rng(9), {tokens}, 0, 0.5).to(at::kDouble).contiguous();
  for (const int64_t k : {1, 2, 6, 16}) {
    for (const double gamma : {0.5, 20.0}) {
      const auto here = gw::sparse_transport_semi_dual(scores, alpha, k, gamma);
      for (int64_t t = 0; t < tokens; ++t) {
        const double error = difference_error(
            alpha.data_ptr<double>()[t], here.gradient[t].item<double>(),
            [&] { return gw::sparse_transport_semi_dual(scores, alpha, k, gamma).value; }, 1e-6);
        EXPECT_LT(error, 1e-6) << k << " tokens, gamma " << gamma << ", token " << t;
      }
    }
  }
  EXPECT_THROW(gw::sparse_transport_semi_dual(scores, alpha, 17, 1), gw::ValueError);
  EXPECT_THROW(gw::sparse_transport_semi_dual(scores, alpha.narrow(0, 1, 3), 2, 1), gw::ValueError);
}

/// Quadratic transport by turns: α exact for every row, then β for every column, until both fit.
at::Tensor quadratic_by_turns(const at::Tensor& scores, double gamma) {
  const int64_t tokens = scores.size(0), experts = scores.size(1);
  auto row = at::zeros({tokens, 1}, at::kDouble), column = at::zeros({1, experts}, at::kDouble);
  // The number added to each value of a line so that the positive parts sum to `mass`, by halving.
  const auto fitted = [&](const at::Tensor& rest, int64_t along, double mass) {
    auto low = -rest.amax({along}, true), high = low + mass;
    for (int i = 0; i < 50; ++i) {
      const auto middle = (low + high) / 2;
      const auto over = (rest + middle).clamp_min(0).sum({along}, true).gt(mass);
      high = at::where(over, middle, high), low = at::where(over, low, middle);
    }
    return (low + high) / 2;
  };
  for (int turn = 0; turn < 3000; ++turn) {
    const auto before = row;
    row = fitted(scores + column, 1, gamma / static_cast<double>(tokens));
    if ((row - before).abs().max().item<double>() < 1e-11) break;
    column = fitted(scores + row, 0, gamma / static_cast<double>(experts));
  }
  return (scores + row + column).clamp_min(0) / gamma * static_cast<double>(tokens);
}

TEST(SparseTransport, WithoutALimitItIsThePlanOfAnotherSolver) {
  const auto scores = distinct_scores(12, 5, 3) * 0.1;
  for (const double gamma : {0.5, 2.0}) {
    const auto plan = gw::sparse_transport(scores, 12, gamma, 5000, 1e-10).plan;
    EXPECT_LT((plan - quadratic_by_turns(scores, gamma)).abs().max().item<double>(), 1e-6) << gamma;
  }
}

// Among the plans that fit, the solver's is the best: no exchange of mass around a square of four entries,
// within the limit of tokens, is cheaper.
TEST(SparseTransport, NoExchangeOfMassIsCheaper) {
  const int64_t tokens = 24, experts = 4, k = 10;
  const auto scores = distinct_scores(tokens, 6, experts) * 0.2;
  const double gamma = 0.4;
  const auto result = gw::sparse_transport(scores, k, gamma, 5000, 1e-9);
  ASSERT_LE(result.residual, 1e-8);
  const auto plan = result.plan / static_cast<double>(tokens);
  const auto cost = [&](const at::Tensor& p) {
    return (-(scores * p).sum() + gamma / 2 * p.square().sum()).item<double>();
  };
  const double best = cost(plan);
  int64_t tried = 0;
  const auto rng = gw::Rng(2).fork("exchanges");
  for (uint64_t i = 0; i < 4000; ++i) {
    const auto draw = [&](uint64_t place, int64_t below) {
      return static_cast<int64_t>(rng.fork("draw", i).below(place, static_cast<uint64_t>(below)));
    };
    const int64_t a = draw(0, tokens), b = draw(1, tokens), x = draw(2, experts), y = draw(3, experts);
    if (a == b || x == y) continue;
    const double step = 1e-3 * std::min(plan[a][x].item<double>(), plan[b][y].item<double>());
    if (step <= 0) continue;
    auto moved = plan.clone();
    moved[a][x] -= step, moved[b][y] -= step, moved[a][y] += step, moved[b][x] += step;
    if (moved.gt(0).sum(0).max().item<int64_t>() > k) continue;
    ++tried;
    EXPECT_GE(cost(moved), best - 1e-12) << a << " " << b << " " << x << " " << y;
  }
  EXPECT_GT(tried, 50);
}

TEST(BalancedPolicies, LoadIsEvenWhileTrainingAndFreeAfterwards) {
  auto scores = distinct_scores(64, 6);
  scores.select(1, 0).add_(3);
  for (const auto* name : {"base", "sinkhorn", "sparse_transport"}) {
    const auto part = policy(name);
    EXPECT_GT(gw::load_entropy(part->plan(scores, true, gw::Rng(1))), 0.95) << name;
    EXPECT_LT(gw::load_entropy(part->plan(scores, false, gw::Rng(1))), 0.8) << name;
    EXPECT_TRUE(gw::chosen_experts(part->plan(scores, false, gw::Rng(1))).equal(scores.argmax(1))) << name;
  }
  const auto base = policy("base")->plan(scores, true, gw::Rng(1));
  for (int64_t e = 0; e < kExperts; ++e) EXPECT_EQ(base.rows_of(e), 16);
  const auto sparse = policy("sparse_transport")->plan(scores, true, gw::Rng(1));
  for (int64_t e = 0; e < kExperts; ++e) EXPECT_LE(sparse.rows_of(e), 16);
  const gw::Json hasty{{"strict", true},
                       {"iterations", 1},
                       {"tolerance", 1e-9},
                       {"buffer", 1.25}};  // at buffer = 1 the plan is exact
  EXPECT_THROW(policy("sparse_transport", hasty)->plan(scores, true, gw::Rng(1)), gw::ValueError);
}

}  // namespace gw::test::transport_cases
