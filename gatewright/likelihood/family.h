#pragma once
// Families of experts: the law of y given an expert's linear predictors. One file of
// gatewright/likelihood/families/ is one family, and all that is known of it: fits, standard errors,
// predictions, simulations and model files ask here.
#include <memory>
#include <optional>

#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

class Design;
class ExpertStep;
class LocationScale;
struct FitOptions;

/// A positive parameter of each expert beside its scale.
struct ShapeParameter {
  const char* name;                ///< as tables print it
  double least, most, start;       ///< where fits keep it, and where they start it
  double held_below, held_above;   ///< an estimate from here on counts as held at its bound: it has no error
  const char* held_above_warning;  ///< what a fit says of an expert held there, after "expert 3 "
};

/// One expert at one x.
struct ExpertAt {
  const double* predictor;  ///< [outputs]
  int64_t outputs;
  double scale, shape;  ///< where the family has them
};

/// The density of y, with what estimation and prediction ask of it.
class Density {
 public:
  static constexpr const char* kKind = "fit_families";
  struct Context {};

  virtual ~Density() = default;
  /// The family as noise around a line. Null: y is a class in {0 … classes - 1}, and the predictors are the
  /// log odds of each class against the last.
  virtual const LocationScale* location_scale() const { return nullptr; }
  bool classes() const { return location_scale() == nullptr; }
  bool scaled() const { return location_scale() != nullptr; }
  virtual std::optional<ShapeParameter> shape() const { return std::nullopt; }
  int64_t coordinates(int64_t outputs) const { return outputs + (scaled() ? 1 : 0) + (shape() ? 1 : 0); }

  virtual double log_density(const ExpertAt& at, double y) const = 0;
  /// Derivatives of the log density by the coordinates: the predictors, log scale, log shape. `first` [c];
  /// `second` [c, c], or null where only the score is asked for. Where the density has a kink: without it.
  virtual void derivatives(const ExpertAt& at, double y, double* first, double* second) const = 0;
  /// The value that a uniform number of [0, 1) stands for.
  virtual double draw(const ExpertAt& at, double uniform) const = 0;
  /// The experts' half of an iteration of expectation and maximisation.
  virtual std::unique_ptr<ExpertStep> step(const MixtureSpec& spec, const Design& design,
                                           const FitOptions& options) const = 0;
};

/// The shape of expert `k`; 0 where the family has none.
inline double shape_of(const MixtureParameters& p, size_t k) { return p.freedom.empty() ? 0 : p.freedom[k]; }

/// The expert `k` of a mixture where its predictors are known.
inline ExpertAt expert_at(const MixtureParameters& p, int64_t k, const double* predictor) {
  const auto e = static_cast<size_t>(k);
  return {predictor, p.outputs, p.scale[e], shape_of(p, e)};
}

}  // namespace gw::likelihood
