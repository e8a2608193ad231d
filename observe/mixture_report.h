#pragma once
#include <string>

#include "observe/fit_mixtures.h"

namespace gw {

struct MixtureReport {
  std::string command, machine, date;  ///< left out where empty
};

/// One self-contained page: coefficients with errors, comparison of sizes, fitted lines over the data, gate probabilities,
/// responsibilities, the likelihood's way up.
std::string render_mixture_report(const FitOutcome& outcome, const MixtureReport& about);
void write_mixture_report(const std::string& path, const FitOutcome& outcome, const MixtureReport& about);

}  // namespace gw
