#pragma once
// Mixtures of experts as statistical models: what is estimated, and the data it is estimated from. Double
// precision, no tensors.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gatewright/likelihood/part_handle.h"
#include "gatewright/ops/activation_function.h"

namespace gw::likelihood {

class GateForm;

/// How inputs become the experts' prior probabilities: a part of the catalogue gatewright/likelihood/gates/
/// by its name, and what is known of it (gatewright/likelihood/gate_form.h). With z_k = b0_k + b1_k·x:
///   softmax           softmax(z)
///   top_k             softmax over the `top_k` largest scores, the others are zero
///   dense_to_sparse   softmax(A(b1_k·x) / T + b0_k), temperature T estimated, A the identity or an
///                     activation
///   modified          softmax(b0_k + b1_k·M(x)), M bounded, elementwise
/// A and M are activations of the catalogue (gatewright/ops/activation_function.h) with constant parameters.
class GateKind : public PartHandle<GateForm> {
 public:
  GateKind();  ///< softmax
  /// Errors: ValueError with the near miss.
  explicit GateKind(const std::string& name);
};

class Density;

/// A family of experts: a part of the catalogue gatewright/likelihood/families/ by its name, and the density
/// behind it (gatewright/likelihood/family.h). Copies are a pointer.
class Family : public PartHandle<Density> {
 public:
  Family();  ///< gaussian
  /// Errors: ValueError with the near miss.
  explicit Family(const std::string& name);
};

/// An activation of the catalogue whose slope is its derivative.
class Activation : public ops::ActivationFunction {
 public:
  static const Activation kIdentity, kTanh, kSigmoid, kGelu;
  /// Errors: as ActivationFunction; ValueError for a straight-through one, whose likelihood has no gradient.
  explicit Activation(const std::string& text);
};

/// Names as the command line and the model file spell them. Errors: ValueError with the near miss.
const std::string& name_of(const GateKind& kind);
std::string name_of(const Activation& activation);
const std::string& name_of(const Family& family);
GateKind gate_kind(const std::string& name);
Activation activation(const std::string& name);
Family family(const std::string& name);

struct GateSpec {
  GateKind kind;
  int64_t top_k = 1;             ///< top_k: experts active at one input
  bool select_with_bias = true;  ///< top_k: rank by b0 + b1·x (routers do) or by b1·x (the theory does)
  Activation activation = Activation("tanh");  ///< dense_to_sparse: A; modified: M (not the identity)
  double input_scale = 1;                      ///< modified: M(input_scale · x)
  std::optional<std::vector<int64_t>>
      columns;  ///< columns of x that the gate sees; absent: all; empty: constant gates
};

struct MixtureSpec {
  int64_t experts = 2;
  Family family;
  int64_t classes = 2;  ///< multinomial: y in {0 … classes-1}
  GateSpec gate;
  std::optional<std::vector<int64_t>> columns;  ///< columns of x that the experts see; absent: all

  /// Linear predictors per expert: 1, or classes - 1 (the last class is the reference, its predictor is 0).
  int64_t outputs() const;
  /// What an expert's density depends on at one x: its predictors, then its log scale and its log shape where
  /// the family has them.
  int64_t coordinates() const;
  int64_t gate_inputs(int64_t d) const {
    return gate.columns ? static_cast<int64_t>(gate.columns->size()) : d;
  }
  int64_t inputs(int64_t d) const { return columns ? static_cast<int64_t>(columns->size()) : d; }
};

/// Errors: ValueError naming the field, for a model that has no meaning with d columns of x.
void check_spec(const MixtureSpec& spec, int64_t d);

/// Estimates. The likelihood does not change when one vector is added to all gates: fits pin the last
/// expert's gate to zero.
struct MixtureParameters {
  int64_t experts = 0, gate_inputs = 0, inputs = 0, outputs = 1;
  std::vector<double> gate_bias;   ///< b0 [experts]
  std::vector<double> gate_slope;  ///< b1 [experts, gate_inputs]
  std::vector<double> intercept;   ///< [experts, outputs]
  std::vector<double> slope;       ///< [experts, outputs, inputs]
  std::vector<double> scale;  ///< [experts]: standard deviation (gaussian), scale (student_t), mean absolute
                              ///< deviation (laplace)
  std::vector<double> freedom;  ///< [experts], the family's shape parameter: degrees of freedom of student_t
  double temperature = 1;       ///< dense_to_sparse only
};

/// Zeros of the right sizes; scales 1, shapes where fits start them.
MixtureParameters make_parameters(const MixtureSpec& spec, int64_t d);

/// n observations, not owned.
struct DataView {
  int64_t n = 0, d = 0;
  const double* x = nullptr;       ///< [n, d], rows one after another
  const double* y = nullptr;       ///< [n]; for multinomial experts the class as a number
  const double* weight = nullptr;  ///< [n], not negative; null: all 1
};

/// Errors: ValueError naming the row for a number that is not finite, a negative weight or a class out of
///         range.
void check_data(const DataView& data, const MixtureSpec& spec);

/// Rows that a unit of weight stands for. 1 without weights and where every weight is a whole number: such
/// weights repeat rows, and a weight of 2 is the row twice, for the rules about rows as well. Other weights
/// have no unit of their own: rows with weight over the sum of the weights.
double rows_per_weight(const DataView& data);

/// Free parameters after pinning: what AIC and BIC count.
int64_t free_parameters(const MixtureSpec& spec, int64_t d);

/// Subtracts the last expert's gate from all, which changes no density; with an activation the slopes stay,
/// since there only biases shift.
void pin_last_gate(const MixtureSpec& spec, MixtureParameters& parameters);

}  // namespace gw::likelihood
