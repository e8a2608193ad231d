#pragma once
// A mixture whose experts are programs: a router says which category a question has, a map which expert
// serves it, a ledger what may still be spent.
#include <cstdint>
#include <string>
#include <vector>

#include "gatewright/train/category_router.h"
#include "gatewright/train/expert_map.h"
#include "gatewright/train/program_expert.h"

namespace gw::inline train {

/// Keeps the mean price of the questions so far within a budget, whatever is asked in which order.
class PriceLedger {
 public:
  /// `credit`: questions' worth of budget that may be spent ahead.
  PriceLedger(double budget, double credit) : budget_(budget), left_(budget * credit) {}
  /// Another question: its share of the budget joins what is left.
  void next() { left_ += budget_, asked_ += 1; }
  void charge(double price) { left_ -= price, spent_ += price; }
  /// How often something of this price may still be bought.
  int64_t affords(double price) const;
  double spent() const { return spent_; }
  int64_t questions() const { return asked_; }
  double mean() const { return asked_ == 0 ? 0 : spent_ / static_cast<double>(asked_); }

 private:
  double budget_, left_, spent_ = 0;
  int64_t asked_ = 0;
};

/// How a composition decides.
struct CompositionOptions : OptionSet {
  double budget = 1, credit = 0, caution = 1, prior = 5;
  bool fallback = true;
  Nested<CategoryRouterOptions> router;
  void fields(OptionVisitor& v) override;
};

/// What became of a question.
struct ComposedReply {
  bool answered = false;
  Json answer;
  std::string expert;                 ///< who answered; "" if nobody did
  int64_t row = 0;                    ///< its category, or the row of unsure questions
  bool first_choice = false;          ///< it is the expert of the map
  double price = 0;                   ///< of all times that an expert was asked
  std::vector<std::string> failures;  ///< "expert: why"
};

/// Experts that are programs behind a two-step router. A question is sent to the expert of its row; if that
/// does not answer, or the ledger does not afford it, to the next best of the row, by its score, that the
/// ledger affords. Every time that a question is sent counts with its price, answered or not.
/// Math:   the row is the category of CategoryRouter, or the last one where that is unsure and there is a
///         fallback; the map is best_map of the scores under `budget`.
/// Source: Composition of Experts, arXiv 2412.01868, reconstructed from its abstract; cautious scores by the
///         router's own categories, the row of unsure questions, the ledger and what happens after failures
///         are ours.
/// A thread of its own asks: programs end with the thread that started them.
class Composition {
 public:
  /// `router` outlives it. Errors: ValueError for tables and experts that do not fit, and as best_map.
  Composition(std::vector<ProgramExpert>& experts, const CategoryRouter& router, ScoreTable table,
              const CompositionOptions& options);
  ComposedReply ask(const std::string& text);
  const ExpertMap& map() const { return map_; }
  const ScoreTable& table() const { return table_; }
  const PriceLedger& ledger() const { return ledger_; }

 private:
  std::vector<ProgramExpert>& experts_;
  const CategoryRouter& router_;
  ScoreTable table_;
  CompositionOptions options_;
  ExpertMap map_;
  PriceLedger ledger_;
};

/// The row of a routed text: its category, or `categories` where it is unsure and there is a fallback.
int64_t row_of(const CategoryRouter::Routed& routed, int64_t categories, bool fallback);
/// Experts of a row, the map's first, then by score; of equal scores the cheaper first.
std::vector<int64_t> expert_order(const ScoreTable& table, const ExpertMap& map, int64_t row,
                                  const std::vector<double>& price);
std::vector<double> prices_of(const std::vector<ProgramExpert>& experts);

}  // namespace gw::inline train
