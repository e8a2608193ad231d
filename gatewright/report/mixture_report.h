#pragma once
#include <string>

#include "gatewright/likelihood/fit_mixtures.h"

namespace gw::inline report {

struct MixtureReport {
  std::string command, machine, date;  ///< left out where empty
  std::string criterion = {};  ///< that chose the size: aic, bic, icl, cv; "": the first sentence names none
};

/// One self-contained page: first a sentence and the picture, then coefficients with errors, comparison of
/// sizes, fitted lines over the data, gate probabilities, responsibilities, the likelihood's way up.
std::string render_mixture_report(const likelihood::FitOutcome& outcome, const MixtureReport& about);
void write_mixture_report(const std::string& path, const likelihood::FitOutcome& outcome,
                          const MixtureReport& about);

}  // namespace gw::inline report
