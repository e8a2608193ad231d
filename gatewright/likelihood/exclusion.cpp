#include "gatewright/likelihood/exclusion.h"

#include <fmt/format.h>

#include <algorithm>

#include "gatewright/base/error.h"
#include "gatewright/likelihood/chance.h"
#include "gatewright/likelihood/family.h"

namespace gw::likelihood {

std::vector<double> rows_held(const Design& design, const EmRun& run) {
  std::vector<double> rows = run.mass;
  for (double& value : rows) value *= design.row_unit;
  return rows;
}

Exclusion exclusion_of(const EmProblem& problem, const EmRun& run, const DataView& data) {
  const double least = problem.least_mass();
  if (std::any_of(run.mass.begin(), run.mass.end(), [&](double mass) { return mass < least; }))
    return Exclusion::kFewRows;
  const auto& scale = run.parameters.scale;
  const bool collapsed =
      problem.spec().family->scaled() &&
      std::any_of(scale.begin(), scale.end(), [&](double s) { return s <= problem.options().min_scale; });
  if (collapsed) return Exclusion::kFloor;
  if (problem.options().narrow_experts == NarrowExperts::kKeep) return Exclusion::kNone;
  const auto& design = problem.design();
  const auto chance = chance_experts(problem.spec(), design.to_data(run.parameters), rows_held(design, run),
                                     data, design.row_unit);
  return chance.empty() ? Exclusion::kNone : Exclusion::kByChance;
}

bool excluded(const EmProblem& problem, const EmRun& run, const DataView& data) {
  return exclusion_of(problem, run, data) != Exclusion::kNone;
}

std::string rule_text(const EmProblem& problem, const EmRun& run, Exclusion why) {
  const auto rows = rows_held(problem.design(), run);
  const double fewest = *std::min_element(rows.begin(), rows.end());
  const double scale =
      *std::min_element(run.parameters.scale.begin(), run.parameters.scale.end()) * problem.design().y_scale;
  switch (why) {
    case Exclusion::kFewRows:
      return fmt::format(
          "an expert of it holds {:.3g} rows, fewer than {:.3g}; the option least rows changes that", fewest,
          problem.least_mass() * problem.design().row_unit);
    case Exclusion::kFloor:
      return fmt::format(
          "the scale of an expert of it is held at its floor of {:.3g}; the option least scale changes that",
          scale);
    case Exclusion::kByChance:
      return fmt::format(
          "an expert of it has a scale of {:.3g}, as narrow as planes that are expected by chance; the "
          "option narrow experts "
          "keeps it",
          scale);
    default:
      return "";
  }
}

const char* name_of(Exclusion exclusion) {
  constexpr const char* kNames[] = {"", "an expert holds too few rows", "an expert is held at its floor",
                                    "an expert is narrow by chance"};
  return kNames[static_cast<size_t>(exclusion)];
}

}  // namespace gw::likelihood
