#include "gatewright/train/composition.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/check.h"

namespace gw::inline train {

int64_t PriceLedger::affords(double price) const {
  constexpr double kMost = 1e9;
  if (price <= 0) return static_cast<int64_t>(kMost);
  const double slack = 1e-9 * std::max(1.0, budget_);  // sums of prices are rounded
  return static_cast<int64_t>(std::clamp(std::floor((left_ + slack) / price), 0.0, kMost));
}

void CompositionOptions::fields(OptionVisitor& v) {
  v.real("budget", budget, "mean price of a question at most", 0, 1e12);
  v.real("credit", credit, "questions' worth of budget that may be spent ahead", 0, 1e9);
  v.real("caution", caution, "standard errors that are taken off measured scores", 0, 100);
  v.real("prior", prior, "questions that an expert's mean over all categories counts for in each", 0, 1e6);
  v.flag("fallback", fallback, "unsure questions have a row, and an expert, of their own");
  v.table("router", router, "how texts find their category");
}

int64_t row_of(const CategoryRouter::Routed& routed, int64_t categories, bool fallback) {
  return fallback && routed.unsure ? categories : routed.category;
}

std::vector<int64_t> expert_order(const ScoreTable& table, const ExpertMap& map, int64_t row,
                                  const std::vector<double>& price) {
  const auto& score = table.score.at(static_cast<size_t>(row));
  const int64_t first = map.expert.at(static_cast<size_t>(row));
  std::vector<int64_t> order(price.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const auto x = static_cast<size_t>(a), y = static_cast<size_t>(b);
    if ((a == first) != (b == first)) return a == first;
    return score[x] != score[y] ? score[x] > score[y] : price[x] < price[y];
  });
  return order;
}

std::vector<double> prices_of(const std::vector<ProgramExpert>& experts) {
  std::vector<double> price;
  for (const auto& expert : experts) price.push_back(expert.options().price);
  return price;
}

Composition::Composition(std::vector<ProgramExpert>& experts, const CategoryRouter& router, ScoreTable table,
                         const CompositionOptions& options)
    : experts_(experts),
      router_(router),
      table_(std::move(table)),
      options_(options),
      map_(best_map(table_, prices_of(experts), options.budget)),
      ledger_(options.budget, options.credit) {
  const auto rows = static_cast<size_t>(router.categories() + (options.fallback ? 1 : 0));
  GW_CHECK(table_.score.size() == rows, "composition: expected scores in {} rows, got {}", rows,
           table_.score.size());
}

ComposedReply Composition::ask(const std::string& text) {
  ComposedReply reply;
  reply.row = row_of(router_.route(text), router_.categories(), options_.fallback);
  ledger_.next();
  const auto order = expert_order(table_, map_, reply.row, prices_of(experts_));
  for (const int64_t m : order) {
    auto& expert = experts_[static_cast<size_t>(m)];
    const int64_t affords = ledger_.affords(expert.options().price);
    if (affords == 0) {
      reply.failures.push_back(expert.name() + ": the budget does not afford it now");
      continue;
    }
    const auto told = expert.ask(text, affords);
    const double price = expert.options().price * static_cast<double>(told.attempts);
    ledger_.charge(price);
    reply.price += price;
    if (!told.answered) {
      reply.failures.push_back(expert.name() + ": " + told.why);
      continue;
    }
    reply.answered = true, reply.answer = told.answer, reply.expert = expert.name();
    reply.first_choice = m == order.front();
    break;
  }
  return reply;
}

}  // namespace gw::inline train
