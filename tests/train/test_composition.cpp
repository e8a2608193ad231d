// Programs behind a two-step router: the exact map, the oracle's bound, the ledger, the router, and failures.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/rng.h"
#include "gatewright/train/composition.h"
#include "tests/support/refusal.h"

namespace gw::test::composition_cases {

ScoreTable drawn_table(const Rng& rng, size_t rows, size_t experts) {
  ScoreTable table;
  double all = 0;
  for (size_t r = 0; r < rows; ++r) {
    table.score.emplace_back();
    for (size_t m = 0; m < experts; ++m)
      table.score[r].push_back(rng.fork("score", r * experts + m).uniform(0));
    table.share.push_back(rng.fork("share", r).uniform(0)), all += table.share.back();
    table.count.push_back(1);
  }
  for (auto& share : table.share) share /= all;
  return table;
}

/// The best of all experts^rows maps.
ExpertMap by_force(const ScoreTable& t, const std::vector<double>& price, double budget) {
  ExpertMap best;
  best.score = -1;
  std::vector<int64_t> map(t.score.size(), 0);
  while (true) {
    double score = 0, cost = 0;
    for (size_t r = 0; r < map.size(); ++r) {
      const auto m = static_cast<size_t>(map[r]);
      score += t.share[r] * t.score[r][m], cost += t.share[r] * price[m];
    }
    if (cost <= budget + 1e-9 && score > best.score) best = {map, score, cost};
    size_t r = 0;
    while (r < map.size() && ++map[r] == static_cast<int64_t>(price.size())) map[r++] = 0;
    if (r == map.size()) return best;
  }
}

TEST(ExpertMap, IsThatOfBruteForceAtEveryBudget) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Rng rng(seed);
    const size_t experts = 2 + seed % 4, rows = 2 + seed % 5;
    const auto table = drawn_table(rng, rows, experts);
    std::vector<double> price;
    for (size_t m = 0; m < experts; ++m) {
      const double p = rng.fork("price").uniform(m);
      price.push_back(seed % 2 == 0 ? std::ceil(5 * p) : 5 * p);
    }
    const double cheapest = *std::min_element(price.begin(), price.end());
    const auto maps = undominated_maps(table, price, 6);
    for (size_t i = 1; i < maps.size(); ++i)
      EXPECT_TRUE(maps[i].price > maps[i - 1].price && maps[i].score > maps[i - 1].score);
    for (const double more : {0.0, 0.1, 0.5, 1.0, 2.0, 5.0}) {
      const auto found = best_map(table, price, cheapest + more),
                 forced = by_force(table, price, cheapest + more);
      EXPECT_NEAR(found.score, forced.score, 1e-12) << "seed " << seed << " budget " << cheapest + more;
      EXPECT_LE(found.price, cheapest + more + 1e-6);
      const auto under = std::count_if(maps.begin(), maps.end(),
                                       [&](const ExpertMap& m) { return m.price <= cheapest + more + 1e-9; });
      if (cheapest + more > 6) continue;
      EXPECT_NEAR(maps[static_cast<size_t>(under) - 1].score, forced.score, 1e-12);
    }
  }
}

// Shares count: an expensive expert for a rare category fits where one for a frequent category does not.
TEST(ExpertMap, WeighsPricesByHowOftenACategoryIsAsked) {
  const ScoreTable table{{{0.5, 0.9}, {0.5, 0.9}}, {0.9, 0.1}, {9, 1}};
  EXPECT_EQ(best_map(table, {1, 6}, 1.6).expert, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(best_map(table, {1, 6}, 1.4).expert, (std::vector<int64_t>{0, 0}));
  EXPECT_EQ(best_map(table, {1, 6}, 6).expert, (std::vector<int64_t>{1, 1}));
}

TEST(ExpertMap, RefusesWhatNobodyCanPay) {
  const ScoreTable table{{{0.5, 0.9}}, {1}, {1}};
  expect_part(refusal<ValueError>([&] {
                best_map(table, {2, 3}, 1);
              }),
              "expected a budget of at least 2, the price of the cheapest expert, got 1; raise the budget");
  expect_part(refusal<ValueError>([&] { best_map(table, {2}, 3); }), "expected 1 scores in every row, got 2");
  expect_part(refusal<ValueError>([&] { best_map(table, {-1, 2}, 3); }), "prices of 0 or more");
}

TEST(ScoreTable, IsTheFormula) {
  const std::vector<std::vector<double>> quality{{1, 0}, {0, 0}, {1, 1}, {1, 0}};
  const auto plain = score_table(quality, {0, 0, 1, 1}, 3, 0, 0);
  EXPECT_EQ(plain.score[0], (std::vector<double>{0.5, 0}));
  EXPECT_EQ(plain.score[1], (std::vector<double>{1, 0.5}));
  EXPECT_EQ(plain.score[2], (std::vector<double>{0.75, 0.25})) << "without questions: what is known of all";
  EXPECT_EQ(plain.share, (std::vector<double>{0.5, 0.5, 0}));
  const auto cautious = score_table(quality, {0, 0, 1, 1}, 3, 2, 4);
  const double mu = (1 + 4 * 0.75) / 6, variance = (1 + 4 * 0.75) / 6 - mu * mu;
  EXPECT_NEAR(cautious.score[0][0], mu - 2 * std::sqrt(variance / 6), 1e-12);
  expect_part(refusal<ValueError>([&] {
                score_table(quality, {0, 0, 1, 3}, 3, 0, 0);
              }),
              "rows below 3, got 3");
  expect_part(refusal<ValueError>([&] { score_table({}, {}, 3, 0, 0); }), "expected measured questions");
}

// By all routings of six questions: the bound is never below the best of them, and equal where every price
// is.
TEST(Oracle, BoundsEveryRoutingOfItsPrice) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Rng rng(seed);
    const std::vector<double> price{1, 2, 4};
    std::vector<std::vector<double>> quality(6);
    ScoreTable each{{}, std::vector<double>(6, 1.0 / 6), std::vector<int64_t>(6, 1)};
    for (size_t q = 0; q < 6; ++q)
      for (size_t m = 0; m < 3; ++m) quality[q].push_back(rng.fork("q", q).uniform(m));
    each.score = quality;
    for (const double budget : {1.0, 1.3, 2.0, 3.0, 4.0}) {
      const double exact = by_force(each, price, budget).score, bound = oracle_bound(quality, price, budget);
      EXPECT_GE(bound, exact - 1e-9) << seed << " " << budget;
      EXPECT_LE(bound, exact + 0.2);
      if (budget != 1.0 && budget != 4.0) continue;
      EXPECT_NEAR(bound, exact, 1e-6);
    }
  }
}

TEST(BestSingle, IsTheBestThatCanBePaid) {
  const std::vector<std::vector<double>> quality{{0, 1, 1}, {1, 0.5, 1}};
  EXPECT_EQ(best_single(quality, {1, 2, 3}, 2).expert, 1);
  EXPECT_EQ(best_single(quality, {1, 2, 3}, 3).expert, 2);
  EXPECT_EQ(best_single(quality, {1, 2, 3}, 0.5).expert, -1);
}

TEST(Cache, CountsWhatIsAmongTheLastUsed) {
  const std::vector<int64_t> calls{0, 1, 0, 2, 1, 0};
  EXPECT_DOUBLE_EQ(cache_hit_rate(calls, 1), 0);
  EXPECT_DOUBLE_EQ(cache_hit_rate(calls, 2), 1.0 / 6);
  EXPECT_DOUBLE_EQ(cache_hit_rate(calls, 3), 3.0 / 6);
  expect_part(refusal<ValueError>([&] { cache_hit_rate(calls, 0); }), "at least one slot");
}

TEST(Ledger, NoBeginningOfAnyOrderCostsMoreThanItsBudget) {
  PriceLedger ledger(2, 0);
  const Rng rng(1);
  for (uint64_t i = 0; i < 1000; ++i) {
    ledger.next();
    const double price = std::ceil(8 * rng.uniform(i));
    if (ledger.affords(price) > 0) ledger.charge(price);
    ASSERT_LE(ledger.mean(), 2 + 1e-9);
  }
  EXPECT_GT(ledger.mean(), 1.9);
  PriceLedger ahead(2, 3);
  ahead.next();
  EXPECT_EQ(ahead.affords(8), 1);
  EXPECT_EQ(ahead.affords(2), 4);
}

/// Texts of three languages of their own letters.
std::vector<std::string> texts_of(char first, int count, uint64_t seed) {
  std::vector<std::string> texts;
  for (int t = 0; t < count; ++t) {
    std::string text;
    for (uint64_t i = 0; i < 30; ++i)
      text += static_cast<char>(
          first + static_cast<char>(Rng(seed).fork("text", static_cast<uint64_t>(t)).below(i, 4)));
    texts.push_back(text);
  }
  return texts;
}

CategoryRouter router_for(double unsure, const std::string& doubt = "distance") {
  CategoryRouterOptions options;
  options.unsure = unsure, options.doubt = doubt, options.neighbours = 5;
  std::vector<std::string> texts;
  std::vector<int64_t> category;
  for (int64_t c = 0; c < 3; ++c)
    for (const auto& text : texts_of(static_cast<char>('a' + 4 * c), 30, 7))
      texts.push_back(text), category.push_back(c);
  return {texts, category, 3, options};
}

TEST(CategoryRouter, KnowsItsCategoriesAndDoubtsOthers) {
  const auto router = router_for(0.1);
  int64_t unsure = 0;
  for (int64_t c = 0; c < 3; ++c) {
    for (const auto& text : texts_of(static_cast<char>('a' + 4 * c), 40, 8)) {
      const auto routed = router.route(text);
      EXPECT_EQ(routed.category, c);
      unsure += routed.unsure ? 1 : 0;
    }
  }
  EXPECT_LE(unsure, 40) << "of 120, where a tenth is meant to be";
  for (const auto& text : texts_of('n', 20, 9)) EXPECT_TRUE(router.route(text).unsure) << text;
  const auto voting = router_for(0.1, "entropy");
  EXPECT_TRUE(voting.route("").unsure) << "no place at all: every category has the same vote";
  EXPECT_FALSE(router_for(0.0, "margin").route(texts_of('a', 1, 8)[0]).unsure);
}

TEST(CategoryRouter, TheNearestNeighboursAreThoseOfTheFormula) {
  CategoryRouterOptions options;
  options.neighbours = 1, options.width = 1 << 16;
  const std::vector<std::string> texts{"the cat sat", "int main() {", "1,2,3,4"};
  const TextVectors vectors(texts, options);
  const auto dot = [&](std::string_view a, std::string_view b) {
    double sum = 0;
    for (const auto& [p, x] : vectors.of(a))
      for (const auto& [q, y] : vectors.of(b)) sum += p == q ? x * y : 0;
    return sum;
  };
  EXPECT_NEAR(dot(texts[0], texts[0]), 1, 1e-12);
  const CategoryRouter router(texts, {0, 1, 2}, 3, options);
  for (const char* text : {"a cat", "void f() {", "5,6"}) {
    int64_t best = 0;
    for (int64_t t = 1; t < 3; ++t)
      if (dot(text, texts[static_cast<size_t>(t)]) > dot(text, texts[static_cast<size_t>(best)])) best = t;
    EXPECT_EQ(router.route(text).category, best) << text;
  }
}

TEST(CategoryRouter, RefusesWhatItCannotLearnFrom) {
  expect_part(refusal<ValueError>([] { CategoryRouter({}, {}, 2, {}); }),
              "expected texts with a category each");
  expect_part(refusal<ValueError>([] { CategoryRouter({"a"}, {2}, 2, {}); }), "categories below 2, got 2");
  CategoryRouterOptions options;
  options.shortest = 4, options.longest = 2;
  expect_part(refusal<ValueError>([&] { CategoryRouter({"a"}, {0}, 1, options); }), "shortest ≤ longest");
}

ProgramExpert program(const std::string& name, double price, const std::string& each) {
  ProgramOptions options;
  options.command = {"bash", "-c", "while read -r line; do " + each + "; done"};
  options.price = price, options.retries = 0, options.give_up = 2;
  options.timeout = options.start_timeout = 20;
  return {name, options};
}

std::string says(const std::string& what) { return "echo '{\"answer\": \"" + what + "\"}'"; }

CompositionOptions of_budget(double budget, double credit = 0) {
  CompositionOptions options;
  options.budget = budget, options.credit = credit, options.fallback = false;
  return options;
}

TEST(Composition, AsksTheExpertOfTheCategoryAndKeepsTheBudget) {
  std::vector<ProgramExpert> experts;
  experts.push_back(program("cheap", 1, says("cheap")));
  experts.push_back(program("dear", 5, says("dear")));
  const auto router = router_for(0);
  const ScoreTable table{{{0.5, 0.9}, {0.5, 0.6}, {0.5, 0.4}}, {0.25, 0.25, 0.5}, {1, 1, 2}};
  Composition composed(experts, router, table, of_budget(2));
  EXPECT_EQ(composed.map().expert, (std::vector<int64_t>{1, 0, 0}));
  // The first may cost 2 at most: the ledger does not afford the choice of the map yet.
  const auto first = composed.ask(texts_of('a', 1, 8)[0]);
  EXPECT_EQ(first.expert, "cheap");
  EXPECT_FALSE(first.first_choice);
  expect_part(first.failures.at(0), "dear: the budget does not afford it now");
  int64_t dear = 0;
  for (int64_t i = 0; i < 40; ++i) {
    const auto reply = composed.ask(texts_of('a', 1, 8)[0]);  // nothing but the category with the dear expert
    ASSERT_TRUE(reply.answered);
    dear += reply.expert == "dear" ? 1 : 0;
    ASSERT_LE(composed.ledger().mean(), 2 + 1e-9);
  }
  EXPECT_EQ(dear, 10) << "one of four: 5 + 3 · 1 = 4 · 2";
  EXPECT_EQ(composed.ask(texts_of('i', 1, 8)[0]).row, 2);
}

TEST(Composition, WhoFailsIsPaidAndTheNextBestAnswers) {
  std::vector<ProgramExpert> experts;
  experts.push_back(program("worst", 1, says("worst")));
  experts.push_back(program("best", 2, "exit 1"));
  experts.push_back(program("second", 2, says("second")));
  const auto router = router_for(0);
  const ScoreTable table{{{0.1, 0.9, 0.5}, {0.1, 0.9, 0.5}, {0.1, 0.9, 0.5}}, {0.3, 0.3, 0.4}, {3, 3, 4}};
  Composition composed(experts, router, table, of_budget(3, 2));
  const auto reply = composed.ask("aaaa");
  EXPECT_EQ(reply.expert, "second");
  EXPECT_EQ(reply.price, 4) << "the question was sent to both";
  expect_part(reply.failures.at(0), "best: ended without an answer: exit status 1");
  composed.ask("aaaa");
  const auto third = composed.ask("aaaa");
  EXPECT_EQ(third.expert, "second");
  EXPECT_EQ(third.price, 2) << "who is given up is asked no more";
  expect_part(third.failures.at(0), "best: asked no more");
}

TEST(Composition, NobodyAnsweringIsSaid) {
  std::vector<ProgramExpert> experts;
  experts.push_back(program("a", 1, "echo nonsense"));
  experts.push_back(program("b", 1, R"(echo '{"error": "no"}')"));
  const auto router = router_for(0);
  const ScoreTable table{{{0.1, 0.9}, {0.1, 0.9}, {0.1, 0.9}}, {0.3, 0.3, 0.4}, {3, 3, 4}};
  Composition composed(experts, router, table, of_budget(2));
  const auto reply = composed.ask("aaaa");
  EXPECT_FALSE(reply.answered);
  EXPECT_EQ(reply.failures.size(), 2u);
  EXPECT_EQ(reply.price, 2);
  expect_part(refusal<ValueError>([&] { Composition(experts, router, table, of_budget(0.5)); }),
              "the price of the cheapest expert");
  auto fallback = of_budget(2);
  fallback.fallback = true;
  expect_part(refusal<ValueError>([&] { Composition(experts, router, table, fallback); }),
              "expected scores in 4 rows, got 3");
}

}  // namespace gw::test::composition_cases
