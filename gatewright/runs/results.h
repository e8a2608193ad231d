#pragma once
// results.json: the curves and tables that an arm leaves beside its numbers (schema:
// gatewright/runs/run_data.h).
#include <map>
#include <string>

#include "gatewright/base/json.h"
#include "gatewright/base/options.h"
#include "gatewright/train/check.h"

namespace gw::inline runs {

inline constexpr const char* kResultsFile = "results.json";

/// What stands in results.json.
struct Results {
  std::map<std::string, Curve> curves;
  std::map<std::string, ValueTable> tables;
  bool empty() const { return curves.empty() && tables.empty(); }
};

Json to_json(const Results& results);
/// Errors: ValueError naming `where`, the field, what was expected and what was found; lists of unequal
///         length.
Results parse_results(const Json& document, const std::string& where);
/// A run's results.json; empty where there is none.
Results read_results(const std::string& directory);

}  // namespace gw::inline runs
