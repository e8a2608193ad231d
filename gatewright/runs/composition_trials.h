#pragma once
// What a composition of programs is worth: beside every single program of its price, and beside an oracle.
#include "gatewright/data/questions.h"
#include "gatewright/runs/arm.h"
#include "gatewright/train/composition.h"

namespace gw::inline runs {

/// What a team of programs is composed from: questions of known answers, and experts.
struct TeamOptions : CompositionOptions {
  OptionTable experts;
  std::string questions, quality = "exact";
  void fields(OptionVisitor& v) override;
};

/// The table `composition` of an arm.
struct CompositionTrialOptions : TeamOptions {
  Nested<GapOptions> gaps;
  std::vector<std::string> outside, swap;
  double router_share = 0.4, scores_share = 0.3, zipf = 1;
  std::vector<double> budgets;
  void fields(OptionVisitor& v) override;
};

/// Asks every expert about every question, plans, and asks the composition live.
/// Leaves as metrics, over the test's questions unless they say otherwise:
///   quality, price           of the composition, asked live under its ledger; price: mean of a question
///   single.quality           the best expert of price ≤ budget, chosen with hindsight; gain: quality − that
///   oracle.quality           an upper bound for any routing with hindsight at the budget; gain_share: gain
///   over
///                            that of the oracle
///   known.quality            the best map with hindsight, of true categories: what better routing could
///   reach category_accuracy        of the router; unsure: share of questions that it is unsure of
///   outside.quality, .forced, .gain, .unsure     questions of categories that the router does not know: with
///                            the row of unsure ones, without it, the difference, the share found unsure;
///                            outside.price: their mean price, without a ledger
///   swap.quality, .gain, .change    after one expert was replaced and only its scores were measured anew;
///   gain
///                            over the best single one of the new team, change of the measured quality
///   unanswered, first_choice shares of the questions asked live; failures, starts: counted over all experts
///   hit_rate                 of a cache for half of the experts where categories come by Zipf's law
/// curves "quality", "single" and "oracle" over the budget (from measured answers, without the ledger), and
/// "hit_rate" over the slots of a cache of experts (LRU); tables "experts" and "scores".
/// Errors: ValueError for experts, questions and budgets that do not fit, and where no expert answers
///         anything; Interrupted.
/// Cost: every expert answers every question but the router's own, and the composition asks the test again.
void try_composition(const CompositionTrialOptions& options, const std::string& arm, int64_t seed,
                     const ArmRun& run, ArmResult& result);
LeftNames composition_trial_names();

/// Experts that nothing has been asked yet, those of `names` (empty: all).
std::vector<ProgramExpert> make_programs(const std::string& where, const OptionTable& table,
                                         const std::vector<std::string>& names = {});
/// Qualities [questions][experts]; no answer is worth 0. Errors: Interrupted after `stop`, which is asked
/// between questions; `tick` hears of every answer.
std::vector<std::vector<double>> ask_programs(std::vector<ProgramExpert>& experts,
                                              const std::vector<Question>& questions,
                                              const std::string& quality, const Stop& stop,
                                              const std::function<void()>& tick);
/// An answer as text: itself, or JSON where it is none.
std::string answer_text(const Json& answer);

}  // namespace gw::inline runs
