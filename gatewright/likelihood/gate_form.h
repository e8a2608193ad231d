#pragma once
// Gates of mixtures that are fitted by likelihood: how a gate's linear predictor becomes a score. One file of
// gatewright/likelihood/gates/ is one gate, and all that is known of it.
#include <memory>
#include <string>
#include <vector>

#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

class Design;
class GateStep;
struct FitOptions;

/// z_k = A(b1_k·M(x)) / T + b0_k for expert k, then a softmax over the scores that stay. A, M and what stays
/// are the gate's; T is 1 unless it is tempered. Options are those of GateSpec.
class GateForm {
 public:
  static constexpr const char* kKind = "fit_gates";
  struct Context {};

  virtual ~GateForm() = default;
  /// Errors: ValueError for options without a meaning.
  virtual void check(const GateSpec& gate, int64_t experts) const {}
  /// Fields of GateSpec that it reads, by their names in model files: "top_k", "select_with_bias",
  /// "activation", "input_scale".
  virtual std::vector<std::string> options() const { return {}; }

  virtual bool transforms() const { return false; }                               ///< M is not the identity
  virtual double transformed(const GateSpec& gate, double x) const { return x; }  ///< M

  virtual bool tempered() const { return false; }  ///< T is estimated
  double temperature(const MixtureParameters& p) const { return tempered() ? p.temperature : 1; }
  /// A is the identity: one vector added to all slopes changes no density.
  virtual bool linear(const GateSpec& gate) const { return true; }
  virtual double value(const GateSpec& gate, double u) const { return u; }  ///< A
  virtual double slope(const GateSpec& gate, double u) const { return 1; }  ///< A'
  virtual double bend(const GateSpec& gate, double u) const { return 0; }   ///< A''

  /// Experts whose scores stay, the largest; ties go to the lower index.
  virtual int64_t active(const GateSpec& gate, int64_t experts) const { return experts; }
  /// The origin of x matters: columns are scaled but not centred.
  virtual bool has_origin(const GateSpec& gate) const { return !linear(gate); }

  /// The gate's half of an iteration of expectation and maximisation: Newton or bounded steps for scores that
  /// are linear in the (transformed) columns.
  virtual std::unique_ptr<GateStep> step(const MixtureSpec& spec, const Design& design,
                                         const FitOptions& options) const;
};

}  // namespace gw::likelihood
