#include "gatewright/likelihood/inference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/base/rng.h"
#include "gatewright/likelihood/chunks.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/gate_form.h"

namespace gw::likelihood {
namespace {

/// Predictors of all experts at the weighted mean of the rows.
std::vector<double> central_predictions(const FitResult& fit, const DataView& data) {
  std::vector<double> mean(static_cast<size_t>(data.d), 0.0),
      predictor(static_cast<size_t>(fit.spec.outputs())), result;
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

/// The columns of `columns` (absent: all) that are not constant over the rows with weight.
std::vector<int64_t> varying_columns(const DataView& data,
                                     const std::optional<std::vector<int64_t>>& columns) {
  std::vector<int64_t> result;
  std::vector<int64_t> all(static_cast<size_t>(data.d));
  std::iota(all.begin(), all.end(), int64_t{0});
  for (const int64_t j : columns ? *columns : all) {
    const double* first = nullptr;
    for (int64_t i = 0; i < data.n; ++i) {
      if (data.weight[i] == 0) continue;
      const double* x = data.x + i * data.d + j;
      if (first == nullptr) first = x;
      if (*x == *first) continue;
      result.push_back(j);
      break;
    }
  }
  return result;
}

/// A fit to the rows outside a fold. A column that is constant there (a rare level whose rows are all in the
/// fold) is left out: its coefficient is 0, since these rows say nothing about it.
FitResult fit_outside(const DataView& part, const MixtureSpec& spec, int64_t fold, uint64_t seed,
                      const FitOptions& options) {
  MixtureSpec used = spec;
  const auto experts = varying_columns(part, spec.columns), gate = varying_columns(part, spec.gate.columns);
  if (static_cast<int64_t>(experts.size()) < spec.inputs(part.d)) used.columns = experts;
  if (static_cast<int64_t>(gate.size()) < spec.gate_inputs(part.d)) used.gate.columns = gate;
  try {
    return fit(part, used, seed, options);
  } catch (const ValueError& error) {
    fail("{}; this is so without the rows of fold {}: use other folds, or merge rare levels", error.what(),
         fold);
  }
}

/// A class that has rows with weight in the fold alone would get a probability of almost 0 there: one row
/// ruins the mean.
void check_classes(const DataView& data, const MixtureSpec& spec, const std::vector<double>& inside,
                   int64_t fold) {
  if (!spec.family->classes()) return;
  std::vector<bool> known(static_cast<size_t>(spec.classes), false);
  for (int64_t i = 0; i < data.n; ++i)
    if (inside[static_cast<size_t>(i)] > 0) known[static_cast<size_t>(data.y[i])] = true;
  for (int64_t i = 0; i < data.n; ++i) {
    const auto at = static_cast<size_t>(data.y[i]);
    GW_CHECK(known[at] || (data.weight != nullptr && data.weight[i] == 0),
             "fit: fold {} holds every row of class {} of {}: a fit of the other rows does not know it; use "
             "fewer or other folds (the seed "
             "decides), or merge rare classes",
             fold, at + 1, spec.classes);
  }
}

}  // namespace

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

CrossValidation cross_validate(const DataView& data, const MixtureSpec& spec, int64_t folds, uint64_t seed,
                               const FitOptions& options) {
  GW_CHECK(folds >= 2 && folds <= data.n, "fit: expected 2 to {} folds, got {}", data.n, folds);
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
    GW_CHECK(total > 0, "fit: fold {} has no row with weight; use fewer folds", f + 1);
    check_classes(data, spec, inside, f + 1);
    DataView part = data;
    part.weight = inside.data();
    const auto fitted = fit_outside(part, spec, f + 1, seed, options);
    part.weight = outside.data();
    result.fold.push_back(log_likelihood(fitted.spec, fitted.parameters, part) / total);
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
  const bool reference_stays = !fit.spec.gate.kind->linear(fit.spec.gate);
  std::stable_sort(order.begin(), order.end() - (reference_stays ? 1 : 0), [&](int64_t a, int64_t b) {
    return prediction[static_cast<size_t>(a)] < prediction[static_cast<size_t>(b)];
  });
  return order;
}

MixtureParameters reorder(const MixtureSpec& spec, const MixtureParameters& p,
                          const std::vector<int64_t>& order) {
  GW_CHECK(static_cast<int64_t>(order.size()) == p.experts, "fit: expected an order of {} experts, got {}",
           p.experts, order.size());
  MixtureParameters result = p;
  const auto move = [&](const std::vector<double>& from, std::vector<double>& to) {
    const size_t width = from.size() / order.size();
    for (size_t k = 0; k < order.size(); ++k)
      std::copy_n(from.begin() + order[k] * static_cast<int64_t>(width), width,
                  to.begin() + static_cast<int64_t>(k * width));
  };
  move(p.gate_bias, result.gate_bias), move(p.gate_slope, result.gate_slope),
      move(p.intercept, result.intercept);
  move(p.slope, result.slope), move(p.scale, result.scale), move(p.freedom, result.freedom);
  pin_last_gate(spec, result);
  return result;
}

}  // namespace gw::likelihood
