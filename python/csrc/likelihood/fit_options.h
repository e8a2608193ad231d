#pragma once
// The options of fits from Python: declared once, with the command line's names, defaults and ranges.
#include <string>

#include "gatewright/base/options.h"
#include "gatewright/likelihood/fit_mixtures.h"
#include "gatewright/likelihood/lasso.h"

namespace gw::python {

struct FitFields : OptionSet {
  likelihood::FitRequest request;  ///< filled by the fields; words only after `resolve`
  std::string experts = "2", family = "gaussian", gate = "softmax", activation = "tanh", start = "mixed",
              narrow_experts = "refuse", gate_solver = "newton";
  std::vector<std::string> gate_inputs, expert_inputs;

  void fields(OptionVisitor& v) override;
  /// Words become what the library knows. `given`: the table that was parsed, which tells an empty list of
  /// inputs from none. Errors: ValueError with the near miss.
  void resolve(const Json& given);

 private:
  void model_fields(OptionVisitor& v);
  void search_fields(OptionVisitor& v);
  void rule_fields(OptionVisitor& v);
};

struct LassoFields : OptionSet {
  likelihood::LassoOptions options;
  int64_t experts = 2, penalties = 20;
  double penalty = 0, ratio = 0.05;
  std::string criterion = "bic";
  void fields(OptionVisitor& v) override;
};

}  // namespace gw::python
