#pragma once
// Models, designs and starts as recipes write them.
#include <string>

#include "gatewright/base/options.h"
#include "gatewright/likelihood/theory/simulate.h"

namespace gw::likelihood {

struct GateOptions : OptionSet {
  std::string kind = "softmax", activation = "tanh";
  int64_t top_k = 1;
  bool select_with_bias = true;
  double input_scale = 1;
  void fields(OptionVisitor& v) override;
  GateSpec spec() const;
};

/// The true model: its shape and its parameters.
struct TruthOptions : OptionSet {
  std::string family = "gaussian";
  Nested<GateOptions> gate;
  int64_t inputs = 1, classes = 2;
  std::vector<double> gate_bias, gate_slope, intercept, slope, scale;
  double temperature = 1;
  void fields(OptionVisitor& v) override;
};
struct TrueModel {
  MixtureSpec spec;
  MixtureParameters parameters;
};
/// Errors: ValueError naming the list whose length does not fit the number of gate biases.
TrueModel true_model(const std::string& where, const TruthOptions& options);

/// What is fitted to the data: the true model with another number of experts or another gate.
struct FittedOptions : OptionSet {
  int64_t experts = 0;       ///< 0: as many as the truth
  Nested<GateOptions> gate;  ///< {}: the true gate
  void fields(OptionVisitor& v) override;
};
MixtureSpec fitted_model(const std::string& where, const FittedOptions& options, const TrueModel& truth);

/// How the inputs are drawn.
struct InputDistributionOptions : OptionSet {
  std::string law = "uniform";
  double lo = 0, hi = 1;
  int64_t columns = 1;
  void fields(OptionVisitor& v) override;
};
/// Errors: ValueError unless lo < hi.
InputDistribution input_distribution(const std::string& where, const InputDistributionOptions& options);

/// How far from the truth fits start.
struct StartNoiseOptions : OptionSet {
  StartNoise noise;
  void fields(OptionVisitor& v) override;
};

}  // namespace gw::likelihood
