#include "stats/inference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "stats/chunks.h"
#include "stats/density.h"
#include "stats/linear_algebra.h"
#include "stats/steps.h"

namespace gw::stats {
namespace {

using Kind = FreeParameter::Kind;

/// -d gradient / d θ by central differences, symmetrised. Steps are a thousandth of a standard error: the score is nearly linear there,
/// and its change still has eight digits above the rounding of the sum.
Matrix observed_information(const FitResult& fit, const DataView& data, const Matrix& outer) {
  const auto at = to_vector(fit.spec, fit.parameters);
  const size_t size = at.size();
  Matrix information(size * size, 0.0);
  for (size_t j = 0; j < size; ++j) {
    const double own = outer[j * size + j];
    if (!(own > 0)) continue;
    const double step = 1e-3 / std::sqrt(own);
    std::vector<double> difference(size, 0.0);
    for (const double sign : {1.0, -1.0}) {
      auto moved = at;
      moved[j] += sign * step;
      const auto sums = score_sums(fit.spec, from_vector(fit.spec, data.d, moved), data, Products::kNone);
      for (size_t i = 0; i < size; ++i) difference[i] += sign * sums.gradient[i];
    }
    for (size_t i = 0; i < size; ++i) {
      information[i * size + j] -= difference[i] / (4 * step), information[j * size + i] -= difference[i] / (4 * step);
    }
  }
  return information;
}

/// A parameter held at a bound has no distribution around it.
std::vector<bool> held(const FitResult& fit, const std::vector<FreeParameter>& list) {
  std::vector<bool> result;
  for (const auto& free : list) {
    const double v = free.kind == Kind::kFreedom ? fit.parameters.freedom[static_cast<size_t>(free.expert)] : 10;
    result.push_back(free.kind == Kind::kFreedom && (v <= 1.001 || v >= kNormalFreedom));
  }
  return result;
}

Matrix product(const Matrix& a, const Matrix& b, size_t size) {
  Matrix result(size * size, 0.0);
  for (size_t i = 0; i < size; ++i) {
    for (size_t l = 0; l < size; ++l) {
      for (size_t j = 0; j < size; ++j) result[i * size + j] += a[i * size + l] * b[l * size + j];
    }
  }
  return result;
}

void remove_rows(Matrix& matrix, const std::vector<bool>& remove) {
  const size_t size = remove.size();
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = 0; j < size; ++j) {
      if (remove[i] || remove[j]) matrix[i * size + j] = 0;
    }
  }
}

/// Predictors of all experts at the weighted mean of the rows.
std::vector<double> central_predictions(const FitResult& fit, const DataView& data) {
  std::vector<double> mean(static_cast<size_t>(data.d), 0.0), predictor(static_cast<size_t>(fit.spec.outputs())), result;
  for (int64_t i = 0; i < data.n; ++i) {
    const double weight = (data.weight != nullptr ? data.weight[i] : 1) / fit.weight;
    for (int64_t j = 0; j < data.d; ++j) mean[static_cast<size_t>(j)] += weight * data.x[i * data.d + j];
  }
  for (int64_t k = 0; k < fit.spec.experts; ++k) {
    expert_predictors(fit.spec, fit.parameters, k, mean.data(), predictor.data());
    result.push_back(predictor[0]);
  }
  return result;
}

}  // namespace

Inference infer(const FitResult& fit, const DataView& data) {
  Inference result;
  result.parameter = free_parameter_list(fit.spec, data.d);
  const size_t size = result.parameter.size();
  const auto values = to_vector(fit.spec, fit.parameters);
  Matrix outer = score_sums(fit.spec, fit.parameters, data, Products::kWeighted).outer;
  const Matrix robust = score_sums(fit.spec, fit.parameters, data, Products::kRobust).outer;
  Matrix information = fit.spec.family == Family::kLaplace ? outer : observed_information(fit, data, outer);
  const auto fixed = held(fit, result.parameter);
  remove_rows(information, fixed), remove_rows(outer, fixed);
  std::vector<bool> determined, told;
  result.covariance = pseudo_inverse(information, static_cast<int64_t>(size), 1e-9, determined);
  result.robust_covariance = product(product(result.covariance, robust, size), result.covariance, size);
  // Along parameters that leave every density alone scores are zero wherever a fit ended. The information is, too, at the maximum only:
  // 4e-8 beside it a line of slope over temperature had a curvature of 2e-9.
  pseudo_inverse(outer, static_cast<int64_t>(size), 1e-9, told);
  for (size_t i = 0; i < size; ++i) determined[i] = determined[i] && told[i] && !fixed[i];
  std::vector<double> unit;
  for (size_t i = 0; i < size; ++i) {
    result.estimate.push_back(result.parameter[i].logarithmic() ? std::exp(values[i]) : values[i]);
    unit.push_back(!determined[i] ? 0.0 : result.parameter[i].logarithmic() ? result.estimate[i] : 1.0);
  }
  for (auto* matrix : {&result.covariance, &result.robust_covariance}) {
    for (size_t i = 0; i < size * size; ++i) (*matrix)[i] *= unit[i / size] * unit[i % size];
    auto& error = matrix == &result.covariance ? result.error : result.robust_error;
    for (size_t i = 0; i < size; ++i) {
      const double variance = (*matrix)[i * size + i];
      error.push_back(determined[i] && variance >= 0 && std::isfinite(variance) ? std::optional(std::sqrt(variance)) : std::nullopt);
    }
  }
  const auto missing = std::count(determined.begin(), determined.end(), false);
  if (missing > 0)
    result.warnings.push_back(
        fmt::format("{} of {} parameters are not determined by these data: no standard errors for them", missing, size));
  return result;
}

Criteria criteria(const FitResult& fit, const DataView& data) {
  Criteria c;
  c.log_likelihood = fit.log_likelihood;
  c.parameters = free_parameters(fit.spec, data.d);
  c.entropy = sum_rows(data.n, [&](int64_t begin, int64_t end) {
    std::vector<double> posterior(static_cast<size_t>(fit.spec.experts));
    double sum = 0;
    for (int64_t i = begin; i < end; ++i) {
      log_density(fit.spec, fit.parameters, data.x + i * data.d, data.y[i], posterior.data());
      const double weight = data.weight != nullptr ? data.weight[i] : 1;
      for (const double t : posterior) sum -= t > 0 ? weight * t * std::log(t) : 0;
    }
    return sum;
  });
  const auto count = static_cast<double>(c.parameters);
  c.aic = -2 * c.log_likelihood + 2 * count;
  c.bic = -2 * c.log_likelihood + count * std::log(fit.weight);
  c.icl = c.bic + 2 * c.entropy;
  return c;
}

CrossValidation cross_validate(const DataView& data, const MixtureSpec& spec, int64_t folds, uint64_t seed, const FitOptions& options) {
  GW_CHECK(folds >= 2 && folds <= data.n, "stats: expected 2 to {} folds, got {}", data.n, folds);
  const auto order = Rng(seed).fork("stats/folds").permutation(data.n);
  CrossValidation result;
  double square = 0;
  for (int64_t f = 0; f < folds; ++f) {
    // Rows keep their places and lose their weight: what is left out has weight 0.
    std::vector<double> inside(static_cast<size_t>(data.n)), outside(inside.size());
    double total = 0;
    for (int64_t i = 0; i < data.n; ++i) {
      const auto row = static_cast<size_t>(order[static_cast<size_t>(i)]);
      const double weight = data.weight != nullptr ? data.weight[row] : 1;
      (i % folds == f ? outside : inside)[row] = weight;
      total += i % folds == f ? weight : 0;
    }
    GW_CHECK(total > 0, "stats: fold {} has no row with weight; use fewer folds", f + 1);
    DataView part = data;
    part.weight = inside.data();
    const auto fitted = fit(part, spec, seed, options);
    part.weight = outside.data();
    result.fold.push_back(log_likelihood(spec, fitted.parameters, part) / total);
  }
  const auto count = static_cast<double>(folds);
  for (const double value : result.fold) result.mean += value / count;
  for (const double value : result.fold) square += (value - result.mean) * (value - result.mean);
  result.error = std::sqrt(square / (count - 1) / count);
  return result;
}

std::vector<int64_t> canonical_order(const FitResult& fit, const DataView& data) {
  const auto prediction = central_predictions(fit, data);
  std::vector<int64_t> order(prediction.size());
  std::iota(order.begin(), order.end(), 0);
  const bool reference_stays = fit.spec.gate.kind == GateKind::kDenseToSparse && fit.spec.gate.activation != Activation::kIdentity;
  std::stable_sort(order.begin(), order.end() - (reference_stays ? 1 : 0),
                   [&](int64_t a, int64_t b) { return prediction[static_cast<size_t>(a)] < prediction[static_cast<size_t>(b)]; });
  return order;
}

MixtureParameters reorder(const MixtureSpec& spec, const MixtureParameters& p, const std::vector<int64_t>& order) {
  GW_CHECK(static_cast<int64_t>(order.size()) == p.experts, "stats: expected an order of {} experts, got {}", p.experts, order.size());
  MixtureParameters result = p;
  const auto move = [&](const std::vector<double>& from, std::vector<double>& to) {
    const size_t width = from.size() / order.size();
    for (size_t k = 0; k < order.size(); ++k)
      std::copy_n(from.begin() + order[k] * static_cast<int64_t>(width), width, to.begin() + static_cast<int64_t>(k * width));
  };
  move(p.gate_bias, result.gate_bias), move(p.gate_slope, result.gate_slope), move(p.intercept, result.intercept);
  move(p.slope, result.slope), move(p.scale, result.scale), move(p.freedom, result.freedom);
  pin_last_gate(spec, result);
  return result;
}

}  // namespace gw::stats
