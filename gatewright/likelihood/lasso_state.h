#pragma once
// One penalised mixture in the middle of its EM: standardised columns, slopes, and the linear predictors that
// go with them.
#include <vector>

#include "gatewright/likelihood/lasso.h"
#include "gatewright/likelihood/location_scale.h"

namespace gw::likelihood {

/// Columns of mean 0 and variance 1, one after another; a constant column becomes zeros. Shared by all fits
/// of a path.
struct LassoColumns {
  int64_t n = 0, p = 0;
  std::vector<double> x;  ///< [p, n]
  std::vector<double> mean, deviation, y;
  std::vector<char> allowed;  ///< [p]: not constant, and among the columns that may have slopes
  double y_mean = 0, y_deviation = 1;

  LassoColumns(const DataView& data, const LassoOptions& options);
  const double* column(int64_t j) const { return x.data() + j * n; }
};

/// A linear predictor over the columns: the mean of an expert, or the score of a gate.
struct LassoLinear {
  double intercept = 0;
  std::vector<double> slope;      ///< [p]
  std::vector<double> predictor;  ///< [n], intercept included
  std::vector<int64_t> working;   ///< columns that coordinate descent visits
  std::vector<char> in_working;   ///< [p]

  LassoLinear(int64_t n, int64_t p)
      : slope(static_cast<size_t>(p)),
        predictor(static_cast<size_t>(n)),
        in_working(static_cast<size_t>(p)) {}
  void admit(int64_t j);
  double norm() const;
  int64_t count() const;
};

class LassoState {
 public:
  LassoState(const LassoColumns& columns, const MixtureParameters& start, const LassoOptions& options);

  /// Responsibilities and objective at the present parameters.
  double expect(double lambda);
  /// Replaces the responsibilities, [experts][n].
  void assume(std::vector<std::vector<double>> responsibilities) { tau_ = std::move(responsibilities); }
  /// One M-step: every part of it lowers the penalised expected objective.
  void maximise(double lambda);
  /// Working sets for `lambda` by the strong rule, given the responsibilities of the solution at `previous`.
  void screen(double lambda, double previous);
  /// Admits columns whose gradient exceeds the penalty by more than `slack` of it; returns how many, and the
  /// largest excess seen.
  int64_t admit_violators(double lambda, double slack, double& gap);
  /// Largest gradient over all columns, in units in which lambda is the bound.
  double largest_gradient() const;

  LassoFit result(double lambda) const;
  int64_t experts() const { return static_cast<int64_t>(experts_.size()); }

 private:
  void update_expert(size_t k, double lambda);
  double best_variance(double squares, double mass, double pressure) const;
  void update_gate(size_t k, double lambda);
  std::vector<double> gate_probabilities(size_t k) const;
  std::vector<double> pull(size_t part) const;
  template <class Each>
  void each_gradient(Each each) const;
  double penalty(double lambda) const;

  const LassoColumns& columns_;
  const LassoOptions& options_;
  const LocationScale& law_;
  std::vector<LassoLinear> experts_, gates_;  ///< the last gate stays zero
  std::vector<double> variance_;
  std::vector<std::vector<double>> tau_;
  double log_likelihood_ = 0;
};

}  // namespace gw::likelihood
