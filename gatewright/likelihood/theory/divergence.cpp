#include "gatewright/likelihood/theory/divergence.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/base/distributions.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/location_scale.h"

namespace gw::likelihood {
namespace {

constexpr double kReach = 9;  // standard deviations around a mean: the mass outside is 2e-19
constexpr double kStepsPerScale = 4;
constexpr double kNarrowest =
    1.0 /
    64;  // a fitted spike narrower than this share of the true scales is not resolved: it holds no mass of p
constexpr double kInf = std::numeric_limits<double>::infinity();

struct Pair {
  const MixtureSpec &true_spec, &fitted_spec;
  const MixtureParameters &truth, &fitted;
};

/// Gates and predictors of one model at one x, so that the loop over y computes densities only.
struct Conditional {
  const LocationScale* law;
  std::vector<double> log_gate, mean, scale;  ///< log_gate: with the constant of the expert's density

  Conditional(const MixtureSpec& spec, const MixtureParameters& parameters, const double* x)
      : law(spec.family->location_scale()) {
    std::vector<double> gates(static_cast<size_t>(parameters.experts));
    log_gates(spec, parameters, x, gates.data());
    for (int64_t k = 0; k < parameters.experts; ++k) {
      const double gate = gates[static_cast<size_t>(k)];
      if (gate == -kInf) continue;
      double predictor = 0;
      expert_predictors(spec, parameters, k, x, &predictor);
      mean.push_back(predictor);
      scale.push_back(parameters.scale[static_cast<size_t>(k)]);
      log_gate.push_back(gate + law->constant(scale.back(), 0));
    }
  }

  double log_density(double y) const {
    const auto term = [&](size_t k) { return log_gate[k] - law->cost((y - mean[k]) / scale[k], 0); };
    double top = -kInf, sum = 0;
    for (size_t k = 0; k < mean.size(); ++k) top = std::max(top, term(k));
    for (size_t k = 0; k < mean.size(); ++k) sum += std::exp(term(k) - top);
    return top + std::log(sum);
  }
};

struct Sums {
  double affinity = 0, kl = 0;
};

/// Intervals in which the true density lives, merged where they overlap.
std::vector<std::pair<double, double>> support(const Conditional& p) {
  std::vector<std::pair<double, double>> parts, merged;
  for (size_t k = 0; k < p.mean.size(); ++k)
    parts.emplace_back(p.mean[k] - kReach * p.scale[k], p.mean[k] + kReach * p.scale[k]);
  std::sort(parts.begin(), parts.end());
  for (const auto& part : parts) {
    if (!merged.empty() && part.first <= merged.back().second)
      merged.back().second = std::max(merged.back().second, part.second);
    else
      merged.push_back(part);
  }
  return merged;
}

Sums gaussian_sums(const Pair& pair, const double* x) {
  const Conditional p(pair.true_spec, pair.truth, x), q(pair.fitted_spec, pair.fitted, x);
  const double narrow = *std::min_element(p.scale.begin(), p.scale.end());
  const double step =
      std::max(std::min(narrow, *std::min_element(q.scale.begin(), q.scale.end())), kNarrowest * narrow) /
      kStepsPerScale;
  Sums sums;
  for (const auto& [lo, hi] : support(p)) {
    const auto count = static_cast<int64_t>(std::ceil((hi - lo) / step));
    const double h = (hi - lo) / static_cast<double>(count);
    for (int64_t i = 0; i <= count; ++i) {
      const double y = lo + h * static_cast<double>(i);
      const double log_p = p.log_density(y), log_q = q.log_density(y);
      sums.affinity += h * std::exp(0.5 * (log_p + log_q));
      sums.kl += h * std::exp(log_p) * (log_p - log_q);
    }
  }
  return sums;
}

Sums multinomial_sums(const Pair& pair, const double* x) {
  Sums sums;
  for (int64_t c = 0; c < pair.true_spec.classes; ++c) {
    const double log_p = log_density(pair.true_spec, pair.truth, x, static_cast<double>(c));
    const double log_q = log_density(pair.fitted_spec, pair.fitted, x, static_cast<double>(c));
    sums.affinity += std::exp(0.5 * (log_p + log_q));
    if (log_p > -kInf) sums.kl += std::exp(log_p) * (log_p - log_q);
  }
  return sums;
}

}  // namespace

InputNodes uniform_nodes(double lo, double hi, int64_t count) {
  GW_CHECK(count >= 2 && lo < hi,
           "theory/divergence: expected at least 2 nodes and lo < hi, got {} nodes on [{}, {}]", count, lo,
           hi);
  InputNodes nodes;
  for (int64_t i = 0; i < count; ++i) {
    nodes.x.push_back(lo + (hi - lo) * (static_cast<double>(i) + 0.5) / static_cast<double>(count));
    nodes.weight.push_back(1.0 / static_cast<double>(count));
  }
  return nodes;
}

InputNodes normal_nodes(int64_t count) {
  auto nodes = uniform_nodes(0, 1, count);
  for (double& x : nodes.x) x = normal_quantile(x);
  return nodes;
}

Divergence divergence(const MixtureSpec& true_spec, const MixtureParameters& truth,
                      const MixtureSpec& fitted_spec, const MixtureParameters& fitted,
                      const InputNodes& nodes) {
  const bool classes = true_spec.family->classes();
  GW_CHECK(true_spec.family == fitted_spec.family &&
               (classes || true_spec.family->location_scale()->least_squares()),
           "theory/divergence: expected two gaussian or two multinomial models, got {} and {}",
           name_of(true_spec.family), name_of(fitted_spec.family));
  GW_CHECK(!classes || true_spec.classes == fitted_spec.classes,
           "theory/divergence: expected equal numbers of classes, got {} and {}", true_spec.classes,
           fitted_spec.classes);
  const Pair pair{true_spec, fitted_spec, truth, fitted};
  double affinity = 0;
  Divergence result;
  for (int64_t i = 0; i < nodes.count(); ++i) {
    const double* x = nodes.x.data() + i * nodes.d;
    const Sums sums = classes ? multinomial_sums(pair, x) : gaussian_sums(pair, x);
    affinity += nodes.weight[static_cast<size_t>(i)] * sums.affinity;
    result.kl += nodes.weight[static_cast<size_t>(i)] * sums.kl;
  }
  result.hellinger = std::sqrt(std::max(0.0, 1 - affinity));
  return result;
}

}  // namespace gw::likelihood
