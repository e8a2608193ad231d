#pragma once
// Parameters of a mixture as one vector and back: what EM extrapolates, scores are derivatives by, and Newton
// steps move.
#include <vector>

#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

/// Free parameters in the order of vectors: gates (bias, slopes), the temperature, then each expert's
/// predictors (intercept, slopes), scale and degrees of freedom.
struct FreeParameter {
  enum class Kind { kGateBias, kGateSlope, kTemperature, kIntercept, kSlope, kScale, kFreedom };
  Kind kind;
  int64_t expert = 0;
  int64_t output = 0;   ///< class, for multinomial experts
  int64_t column = -1;  ///< column of x, for slopes
  /// Scales, degrees of freedom and the temperature are positive: vectors hold their logarithms, so that any
  /// step leads to valid ones.
  bool logarithmic() const {
    return kind == Kind::kTemperature || kind == Kind::kScale || kind == Kind::kFreedom;
  }
};

/// One model's vectors. Made once, it costs a read or a write of each parameter.
class ParameterCodec {
 public:
  /// What vectors hold of the last expert's gate: nothing (it is pinned), its slopes (identified where an
  /// activation bends them), or all of it.
  enum class LastGate { kPinned, kSlopes, kWhole };
  /// As FreeParameter says, or all of one kind side by side: both gates' biases, slopes, intercepts, slopes,
  /// scales, degrees of freedom, the temperature.
  enum class Order { kByExpert, kByKind };

  ParameterCodec(const MixtureSpec& spec, int64_t d, LastGate last = LastGate::kPinned,
                 Order order = Order::kByExpert);
  std::vector<double> encode(const MixtureParameters& parameters) const;
  /// Writes into `parameters`, which has the model's sizes; what vectors do not hold stays.
  void decode(const std::vector<double>& values, MixtureParameters& parameters) const;
  const std::vector<FreeParameter>& list() const { return list_; }
  size_t size() const { return list_.size(); }

 private:
  using List = std::vector<double> MixtureParameters::*;
  struct Place {
    List list;  ///< null: the temperature
    size_t index;
  };
  void add(const FreeParameter& parameter, List list, int64_t index);
  void sort_by_kind();

  std::vector<FreeParameter> list_;
  std::vector<Place> places_;
};

std::vector<FreeParameter> free_parameter_list(const MixtureSpec& spec, int64_t d);
/// Free parameters as a vector, and back; the last gate is subtracted from all, and comes back as zero.
std::vector<double> to_vector(const MixtureSpec& spec, const MixtureParameters& parameters);
MixtureParameters from_vector(const MixtureSpec& spec, int64_t d, const std::vector<double>& values);

}  // namespace gw::likelihood
