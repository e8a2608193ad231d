#pragma once
// The catalogue of activations without tensors: by name, with parameters, one value at a time.
#include <string>
#include <utility>
#include <vector>

namespace gw::ops {

/// One activation of the catalogue (gatewright/kernels/activations/, `gatewright list activations`).
class ActivationFunction {
 public:
  /// `text`: a name or an alias, with the parameters that differ from their defaults: "golu",
  /// "leaky_relu(slope=0.2)".
  /// Errors: ValueError, which begins with `where`, for an unknown name or parameter (with the near miss) and
  ///         for a value out of range.
  ActivationFunction(const std::string& where, const std::string& text);

  const std::string& name() const { return name_; }  ///< never an alias
  std::string text() const;                          ///< as the constructor takes it
  int unit() const { return unit_; }                 ///< place in the catalogue
  const std::vector<double>& parameters() const { return parameters_; }
  bool learned() const;               ///< its paper trains the parameters
  bool bounded() const;               ///< its values stay in an interval
  bool straight_through() const;      ///< slope() is a chosen gradient, not the derivative of value()
  std::vector<double> kinks() const;  ///< where slope() jumps, at default parameters

  /// In double precision, finite wherever x is and the value does not overflow.
  double value(double x) const;
  double slope(double x) const;
  /// f″(x): closed forms of identity, sigmoid, tanh and gelu; of others differences of slope(), with an error
  /// of 1e-12 where f is smooth.
  double bend(double x) const;
  /// ∂f/∂parameters. Errors: ValueError unless learned().
  std::vector<double> by_parameters(double x) const;

  bool operator==(const ActivationFunction& other) const {
    return unit_ == other.unit_ && parameters_ == other.parameters_;
  }

 private:
  int unit_ = 0;
  std::string name_;
  std::vector<double> parameters_;
};

/// Names of all activations, without aliases, in the catalogue's order.
const std::vector<std::string>& activation_names();
/// What a page says of one: aliases, formula, derivative, source, kinks, and curves over [−4, 4] drawn in
/// blocks of eight heights. Errors: ValueError for an unknown name.
std::vector<std::pair<std::string, std::string>> activation_notes(const std::string& name);

}  // namespace gw::ops
