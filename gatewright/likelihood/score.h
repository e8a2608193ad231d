#pragma once
// Derivatives of the log density by the free parameters, row by row.
#include <string>
#include <vector>

#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

/// Free parameters in the order of all vectors here: gates but the last (bias, slopes), the temperature, then
/// each expert's predictors (intercept, slopes), scale and degrees of freedom.
struct FreeParameter {
  enum class Kind { kGateBias, kGateSlope, kTemperature, kIntercept, kSlope, kScale, kFreedom };
  Kind kind;
  int64_t expert = 0;
  int64_t output = 0;   ///< class, for multinomial experts
  int64_t column = -1;  ///< column of x, for slopes
  /// Scales, degrees of freedom and the temperature are positive: vectors hold their logarithms.
  bool logarithmic() const {
    return kind == Kind::kTemperature || kind == Kind::kScale || kind == Kind::kFreedom;
  }
};
std::vector<FreeParameter> free_parameter_list(const MixtureSpec& spec, int64_t d);

/// Free parameters as a vector (logarithms where positive), and back; the last gate comes back as zero.
std::vector<double> to_vector(const MixtureSpec& spec, const MixtureParameters& parameters);
MixtureParameters from_vector(const MixtureSpec& spec, int64_t d, const std::vector<double>& values);

/// out[j] = d log p(y | x) / d θ_j. Not defined on the borders of top-k gates and where a Laplace residual is
/// zero (0 is returned).
void score(const MixtureSpec& spec, const MixtureParameters& parameters, const double* x, double y,
           double* out);

/// Sums over rows with score s_i and weight w_i.
struct ScoreSums {
  std::vector<double> gradient;  ///< Σ w s
  std::vector<double> outer;     ///< products, full symmetric; empty for kNone
};
enum class Products { kNone, kWeighted };  ///< none, Σ w s s'
ScoreSums score_sums(const MixtureSpec& spec, const MixtureParameters& parameters, const DataView& data,
                     Products products);

}  // namespace gw::likelihood
