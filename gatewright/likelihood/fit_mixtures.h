#pragma once
// A table fitted with mixtures of several sizes, and the best by a criterion.
#include <memory>

#include "gatewright/likelihood/mixture_model.h"

namespace gw::likelihood {

struct FitRequest {
  FrameOptions frame;
  int64_t least_experts = 2, most_experts = 2;
  MixtureSpec spec;                                       ///< experts, classes and columns are filled in
  std::optional<std::vector<std::string>> gate_inputs;    ///< terms that the gate sees; absent: all
  std::optional<std::vector<std::string>> expert_inputs;  ///< terms that the experts see; absent: all
  std::string criterion = "bic";                          ///< aic, bic, icl, cv
  int64_t folds = 0;                                      ///< cross-validation besides; needed by cv
  uint64_t seed = 0;
  FitOptions options;
};

/// One size that was tried.
struct FitCandidate {
  int64_t experts = 0;
  Criteria criteria;
  std::optional<CrossValidation> validation;
  bool converged = false;
  bool degenerate =
      false;  ///< loses against every size that is not: its likelihood is that of a few rows met by chance
  Exclusion exclusion = Exclusion::kNone;  ///< why
  std::string refused;                     ///< a higher maximum of this size that a rule left out
  int64_t at_best = 0;                     ///< starts that ended at the result
  std::vector<std::string> warnings;
};

struct FitOutcome {
  Frame frame;
  std::vector<FitCandidate> candidates;
  size_t best = 0;
  MixtureModel model;
  DataView view() const;
};

/// What must be told beside the tables: warnings, a higher maximum that was refused, sizes that are out and
/// why, how many starts ended at the best.
std::vector<std::string> notes_of(const FitOutcome& outcome);

/// The sizes that were tried, for a terminal; headings that begin with ">" are of numbers. No column of what
/// was not computed.
std::vector<std::vector<std::string>> size_rows(const FitOutcome& outcome, const std::string& criterion);

/// Errors: ValueError for a criterion that does not exist, a range of experts that is empty, and what reading
///         and fitting refuse.
FitOutcome fit_mixtures(const CsvTable& table, const FitRequest& request);

/// The same from rows that are numbers already: `frame` has a schema, x, y, and rows with weight alone;
/// `request.frame` is not read.
FitOutcome fit_mixtures(Frame frame, const FitRequest& request);

/// "3" or "2..6" as a range. Errors: ValueError.
std::pair<int64_t, int64_t> parse_range(const std::string& text);

}  // namespace gw::likelihood
