#include "gatewright/likelihood/information.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "gatewright/likelihood/chunks.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/location_scale.h"

namespace gw::likelihood {
namespace {

using Kind = FreeParameter::Kind;

/// What a row's log density depends on: per gate but the last a bias and a score, the temperature, then the
/// experts' predictors, log scales and log degrees of freedom. Each is linear in `count` parameters from `at`
/// on.
struct Local {
  enum class Features { kOne, kGate, kInput };
  size_t at, count;
  Features features;
};

std::vector<Local> locals_of(const MixtureSpec& spec, int64_t d) {
  std::vector<Local> list;
  size_t at = 0;
  const auto add = [&](size_t count, Local::Features features) {
    list.push_back({at, count, features}), at += count;
  };
  for (int64_t k = 0; k + 1 < spec.experts; ++k) {
    add(1, Local::Features::kOne);
    add(static_cast<size_t>(spec.gate_inputs(d)), Local::Features::kGate);
  }
  if (spec.gate.kind->tempered()) add(1, Local::Features::kOne);
  for (int64_t k = 0; k < spec.experts; ++k) {
    for (int64_t s = 0; s < spec.outputs(); ++s)
      add(static_cast<size_t>(spec.inputs(d)) + 1, Local::Features::kInput);
    for (int64_t e = spec.outputs(); e < spec.coordinates(); ++e) add(1, Local::Features::kOne);
  }
  return list;
}

/// Width of the kernel that estimates the density of residuals at zero, in units of a normal's deviation, for
/// that many rows: the probability bandwidth of Hall and Sheather (1988) at the median and the level 0.95,
/// taken through the normal quantiles' slope there.
double kernel_width(double rows) {
  constexpr double kProbability = 0.9716;  // 1.96^(2/3) (1.5 φ(0)²)^(1/3)
  return std::sqrt(2 * std::numbers::pi) * std::min(kProbability / std::cbrt(std::max(rows, 1.0)), 0.4);
}

double kink_of(const MixtureSpec& spec) {
  const auto* law = spec.family->location_scale();
  return law != nullptr ? law->kink() : 0;
}

class RowCurvature {
 public:
  RowCurvature(const MixtureSpec& spec, const MixtureParameters& p, const Design& design,
               const std::vector<double>& widths)
      : spec_(spec),
        p_(p),
        design_(design),
        widths_(widths),
        own_(at(spec.coordinates())),
        gates_(gate_locals()) {
    const size_t experts = at(p.experts), size = gates_ + experts * own_;
    first.resize(size), second.resize(size * size), robust.resize(size * size), posterior.resize(experts);
    prior_.resize(experts), joint_.resize(experts), by_z_.resize(experts * gates_),
        z_bend_.resize(experts * experts);
    q_.resize(experts * own_), h_.resize(experts * own_ * own_);
    predictor_.resize(at(p.outputs));
  }

  std::vector<double> first;           ///< derivatives by the locals
  std::vector<double> second, robust;  ///< second derivatives: with the expected kinks of Laplace experts,
                                       ///< with their kernel estimates
  std::vector<double> posterior, residual;

  void evaluate(int64_t row) {
    scores(row);
    experts(row);
    gate_part();
    expert_part();
  }

 private:
  static size_t at(int64_t i) { return static_cast<size_t>(i); }
  size_t gate_locals() const { return at(2 * (p_.experts - 1) + (spec_.gate.kind->tempered() ? 1 : 0)); }

  // Prior probabilities, and the derivatives of z by the locals.
  void scores(int64_t row) {
    const auto& gate = spec_.gate;
    const auto& form = *gate.kind;
    const bool tempered = form.tempered();
    const double temperature = form.temperature(p_);
    std::vector<double> z(prior_.size()), rank(prior_.size());
    std::fill(by_z_.begin(), by_z_.end(), 0.0);
    u_.assign(prior_.size(), 0.0);
    for (size_t k = 0; k < prior_.size(); ++k) {
      for (size_t j = 0; j < design_.gate_input.size(); ++j)
        u_[k] += p_.gate_slope[k * at(p_.gate_inputs) + j] * design_.gate_input[j][row];
      const double part = form.value(gate, u_[k]) / temperature;
      z[k] = p_.gate_bias[k] + part;
      rank[k] = gate.select_with_bias ? z[k] : u_[k];
      double* by = by_z_.data() + k * gates_;
      if (tempered) by[gates_ - 1] = -part;
      if (k + 1 == prior_.size()) break;
      by[2 * k] = 1;
      by[2 * k + 1] = form.slope(gate, u_[k]) / temperature;
    }
    const int64_t active = form.active(gate, p_.experts);
    if (active < p_.experts) keep_largest(rank.data(), p_.experts, active, z.data());
    const double total = log_sum_exp(z.data(), p_.experts);
    for (size_t k = 0; k < z.size(); ++k)
      prior_[k] = z[k] - total;  // logarithms, until the densities are known
  }

  void experts(int64_t row) {
    residual.assign(prior_.size(), 0.0);
    for (size_t k = 0; k < prior_.size(); ++k) {
      for (size_t s = 0; s < predictor_.size(); ++s) {
        const size_t r = k * predictor_.size() + s;
        predictor_[s] = p_.intercept[r];
        for (size_t j = 0; j < design_.input.size(); ++j)
          predictor_[s] += p_.slope[r * at(p_.inputs) + j] * design_.input[j][row];
      }
      const double y = design_.y[row];
      const auto expert = expert_at(p_, static_cast<int64_t>(k), predictor_.data());
      spec_.family->derivatives(expert, y, q_.data() + k * own_, h_.data() + k * own_ * own_);
      joint_[k] = prior_[k] + spec_.family->log_density(expert, y);
      residual[k] = y - predictor_[0];
    }
    const double total = log_sum_exp(joint_.data(), p_.experts);
    for (size_t k = 0; k < prior_.size(); ++k)
      posterior[k] = std::exp(joint_[k] - total), prior_[k] = std::exp(prior_[k]);
  }

  void gate_part() {
    const size_t experts = prior_.size(), size = first.size();
    std::fill(first.begin(), first.end(), 0.0), std::fill(second.begin(), second.end(), 0.0);
    for (size_t i = 0; i < experts; ++i) {
      const double t = posterior[i], prior = prior_[i];
      for (size_t j = 0; j < experts; ++j)
        z_bend_[i * experts + j] = prior * prior_[j] - t * posterior[j] + (i == j ? t - prior : 0.0);
      for (size_t a = 0; a < gates_; ++a) first[a] += (t - prior) * by_z_[i * gates_ + a];
    }
    for (size_t a = 0; a < gates_; ++a) {
      for (size_t b = 0; b < gates_; ++b) {
        double sum = 0;
        for (size_t i = 0; i < experts; ++i) {
          for (size_t j = 0; j < experts; ++j)
            sum += by_z_[i * gates_ + a] * z_bend_[i * experts + j] * by_z_[j * gates_ + b];
        }
        second[a * size + b] = sum;
      }
    }
    if (spec_.gate.kind->tempered() || !spec_.gate.kind->linear(spec_.gate)) bend_part();
  }

  // The score A(u)/T bends by itself: second derivatives of z times the derivative by z. With log T: ∂A/T =
  // -A/T, ∂²A/T = A/T.
  void bend_part() {
    const size_t size = first.size(), t = gates_ - 1;
    const bool tempered = spec_.gate.kind->tempered();
    for (size_t k = 0; k < prior_.size(); ++k) {
      const double by = posterior[k] - prior_[k];
      if (tempered) second[t * size + t] -= by * by_z_[k * gates_ + t];
      if (k + 1 == prior_.size()) break;
      const size_t u = 2 * k + 1;
      second[u * size + u] +=
          by * spec_.gate.kind->bend(spec_.gate, u_[k]) / spec_.gate.kind->temperature(p_);
      if (!tempered) continue;
      second[u * size + t] -= by * by_z_[k * gates_ + u], second[t * size + u] -= by * by_z_[k * gates_ + u];
    }
  }

  void expert_part() {
    const size_t size = first.size();
    for (size_t k = 0; k < prior_.size(); ++k) {
      const double* q = q_.data() + k * own_;
      for (size_t e = 0; e < own_; ++e) {
        const size_t row = gates_ + k * own_ + e;
        first[row] = posterior[k] * q[e];
        for (size_t a = 0; a < gates_; ++a) {
          double sum = 0;
          for (size_t i = 0; i < prior_.size(); ++i)
            sum += by_z_[i * gates_ + a] * ((i == k ? 1.0 : 0.0) - posterior[i]);
          second[row * size + a] = second[a * size + row] = first[row] * sum;
        }
        for (size_t l = 0; l < prior_.size(); ++l) {
          for (size_t f = 0; f < own_; ++f) {
            const double by = q_[l * own_ + f],
                         same = l == k ? posterior[k] * (h_[(k * own_ + e) * own_ + f] + q[e] * by) : 0.0;
            second[row * size + gates_ + l * own_ + f] = same - posterior[k] * posterior[l] * q[e] * by;
          }
        }
      }
    }
    robust = second;
    if (kink_of(spec_) != 0) kinks(*spec_.family->location_scale());
  }

  // With a pull that jumps by j at 0 the kink of expert k adds -j t δ(y - η) / s, of Laplace experts j = 2.
  // Under the model t δ has the expectation π f(0), of Laplace experts π / 2s.
  void kinks(const LocationScale& law) {
    const size_t size = first.size();
    for (size_t k = 0; k < prior_.size(); ++k) {
      const size_t here = (gates_ + k * own_) * (size + 1);
      const double inside = std::abs(residual[k]) < widths_[k] ? 1 / (2 * widths_[k]) : 0;
      const double shape = shape_of(p_, k), at_zero = std::exp(law.constant(1, shape) - law.cost(0, shape));
      second[here] -= law.kink() * at_zero * prior_[k] / (p_.scale[k] * p_.scale[k]);
      robust[here] -= law.kink() * posterior[k] * inside / p_.scale[k];
    }
  }

  const MixtureSpec& spec_;
  const MixtureParameters& p_;
  const Design& design_;
  const std::vector<double>& widths_;
  size_t own_, gates_;
  std::vector<double> prior_, joint_, by_z_, z_bend_, q_, h_, predictor_, u_;
};

/// Values of the features of a local variable in one row, the intercept's 1 first where there is one.
void features_of(const Local& local, const Design& design, int64_t row, double* out) {
  if (local.features != Local::Features::kGate) *out++ = 1;
  if (local.features == Local::Features::kOne) return;
  for (const double* column : local.features == Local::Features::kGate ? design.gate_input : design.input)
    *out++ = column[row];
}

/// From local variables to parameters: adds weight · matrix(a, b) · features_a features_b', the lower
/// triangle of blocks.
void expand(const std::vector<Local>& locals, const std::vector<double>& features,
            const std::vector<double>& matrix, double weight, size_t size, Matrix& sum) {
  for (size_t a = 0; a < locals.size(); ++a) {
    for (size_t b = 0; b <= a; ++b) {
      const double value = weight * matrix[a * locals.size() + b];
      for (size_t i = locals[a].at; value != 0 && i < locals[a].at + locals[a].count; ++i) {
        for (size_t j = locals[b].at; j < locals[b].at + locals[b].count; ++j)
          sum[i * size + j] += value * features[i] * features[j];
      }
    }
  }
}

void mirror(Matrix& matrix, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = 0; j < i; ++j) matrix[j * size + i] = matrix[i * size + j];
  }
}

void add(const std::vector<double>& from, std::vector<double>& to) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

void add_row(const std::vector<Local>& locals, const Design& design, const RowCurvature& at, int64_t row,
             Information& sum) {
  const size_t size = sum.gradient.size(), count = locals.size();
  const double weight = design.weight[row];
  std::vector<double> features(size), products(count * count);
  for (const auto& local : locals) features_of(local, design, row, features.data() + local.at);
  for (size_t a = 0; a < count; ++a) {
    for (size_t i = locals[a].at; i < locals[a].at + locals[a].count; ++i)
      sum.gradient[i] += weight * at.first[a] * features[i];
    for (size_t b = 0; b < count; ++b) products[a * count + b] = at.first[a] * at.first[b];
  }
  expand(locals, features, products, weight, size, sum.outer);
  expand(locals, features, at.second, -weight, size, sum.curvature);
  expand(locals, features, at.robust, -weight, size, sum.robust_curvature);
}

Information zeros(size_t size) {
  return {std::vector<double>(size, 0.0), Matrix(size * size, 0.0), Matrix(size * size, 0.0),
          Matrix(size * size, 0.0)};
}

/// Half the kernel's width for each Laplace expert. Its scale is the mean absolute residual, 0.798 deviations
/// of a normal.
std::vector<double> widths_of(const MixtureSpec& spec, const MixtureParameters& p, const Design& design) {
  std::vector<double> widths(static_cast<size_t>(p.experts), 1.0), rows(widths.size(), 0.0);
  if (kink_of(spec) == 0) return widths;
  RowCurvature at(spec, p, design, widths);
  for (int64_t i = 0; i < design.rows; ++i) {
    if (design.weight[i] == 0) continue;
    at.evaluate(i);
    for (size_t k = 0; k < rows.size(); ++k) rows[k] += design.weight[i] * at.posterior[k];
  }
  for (size_t k = 0; k < rows.size(); ++k)
    widths[k] = std::sqrt(std::numbers::pi / 2) * p.scale[k] * kernel_width(rows[k]);
  return widths;
}

}  // namespace

Information information(const MixtureSpec& spec, const MixtureParameters& standard, const Design& design) {
  const auto locals = locals_of(spec, design.d);
  const auto size = static_cast<size_t>(free_parameters(spec, design.d));
  const auto widths = widths_of(spec, standard, design);
  const Chunks chunks(design.rows);
  std::vector<Information> parts(static_cast<size_t>(chunks.count()));
  parallel_for(chunks.count(), [&](int64_t c) {
    auto& part = parts[static_cast<size_t>(c)];
    part = zeros(size);
    RowCurvature at(spec, standard, design, widths);
    for (int64_t i = chunks.begin(c); i < chunks.end(c); ++i) {
      if (design.weight[i] == 0) continue;
      at.evaluate(i);
      add_row(locals, design, at, i, part);
    }
  });
  Information total = zeros(size);
  for (const auto& part : parts) {
    add(part.gradient, total.gradient), add(part.outer, total.outer);
    add(part.curvature, total.curvature), add(part.robust_curvature, total.robust_curvature);
  }
  for (auto* matrix : {&total.outer, &total.curvature, &total.robust_curvature}) mirror(*matrix, size);
  return total;
}

// Slopes in the units of the data are slope · unit / scale; an intercept is intercept · unit - Σ slope · unit
// · mean / scale; a gate's bias the same with unit 1 and the sum over the temperature, which the bias is not
// divided by. Logarithms only shift.
Matrix to_data_map(const MixtureSpec& spec, const MixtureParameters& standard, const Design& design) {
  const auto list = free_parameter_list(spec, design.d);
  const size_t size = list.size();
  const double temperature = standard.temperature;
  Matrix map(size * size, 0.0);
  size_t intercept = 0, tempered = size, column = 0;
  for (size_t i = 0; i < size; ++i) tempered = list[i].kind == Kind::kTemperature ? i : tempered;
  for (size_t i = 0; i < size; ++i) {
    const bool gate = list[i].kind == Kind::kGateBias || list[i].kind == Kind::kGateSlope;
    const double unit = gate ? 1 : design.y_scale;  // 1 for classes
    if (list[i].kind == Kind::kGateBias || list[i].kind == Kind::kIntercept)
      intercept = i, column = 0, map[i * size + i] = unit;
    if (list[i].logarithmic()) map[i * size + i] = 1;
    if (list[i].kind != Kind::kGateSlope && list[i].kind != Kind::kSlope) continue;
    const auto [mean, scale] = (gate ? design.gate_units() : design.input_units())[column];
    map[i * size + i] = unit / scale;
    map[intercept * size + i] = -unit * mean / scale / (gate ? temperature : 1);
    if (gate && tempered < size) {
      const double slope =
          standard.gate_slope[static_cast<size_t>(list[i].expert * standard.gate_inputs) + column];
      map[intercept * size + tempered] += slope * mean / scale / temperature;
    }
    ++column;
  }
  return map;
}

}  // namespace gw::likelihood
