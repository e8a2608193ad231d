#include "gatewright/likelihood/theory/local_mle.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/location_scale.h"
#include "gatewright/likelihood/theory/local_layout.h"

namespace gw::likelihood {
namespace {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;
using Array = Eigen::ArrayXd;
using Index = Eigen::Index;
using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr int64_t kBlock = 256;  // rows: a block's matrices stay in the second-level cache

/// Accumulates the expansion over blocks of rows.
class Expander {
 public:
  Expander(const DataView& data, const MixtureSpec& spec, const MixtureParameters& p, const Layout& layout)
      : data_(data),
        spec_(spec),
        p_(p),
        layout_(layout),
        score_(Vector::Zero(layout.total)),
        information_(Matrix::Zero(layout.total, layout.total)),
        coordinates_(spec.coordinates()) {}

  LocalExpansion run() {
    for (int64_t begin = 0; begin < data_.n; begin += kBlock) block(begin, std::min(kBlock, data_.n - begin));
    // Only the lower triangle was accumulated.
    information_.triangularView<Eigen::StrictlyUpper>() = information_.transpose();
    return {log_likelihood_,
            {score_.data(), score_.data() + score_.size()},
            {information_.data(), information_.data() + information_.size()}};
  }

 private:
  void block(int64_t begin, int64_t rows) {
    rows_ = rows;
    inputs(begin);
    gate_scores();
    expert_terms(begin);
    posterior();
    Matrix total = Matrix::Zero(rows_, layout_.total);
    gate_part(total);
    for (Index k = 0; k < p_.experts; ++k) expert_part(k, total);
    score_ += total.colwise().sum().transpose();
    information_.selfadjointView<Eigen::Lower>().rankUpdate(total.transpose());
  }

  // Columns of ones and inputs, of gates (transformed by the modified gate) and of experts.
  void inputs(int64_t begin) {
    gate_x_.resize(rows_, 1 + p_.gate_inputs);
    expert_x_.resize(rows_, 1 + p_.inputs);
    gate_x_.col(0).setOnes();
    expert_x_.col(0).setOnes();
    ones_ = expert_x_.col(0);
    const auto column = [](const std::optional<std::vector<int64_t>>& chosen, Index j) {
      return chosen ? (*chosen)[static_cast<size_t>(j)] : j;
    };
    for (Index i = 0; i < rows_; ++i) {
      const double* x = data_.x + (begin + i) * data_.d;
      for (Index j = 0; j < p_.gate_inputs; ++j) {
        const double v = x[column(spec_.gate.columns, j)];
        gate_x_(i, 1 + j) = spec_.gate.kind->transformed(spec_.gate, v);
      }
      for (Index j = 0; j < p_.inputs; ++j) expert_x_(i, 1 + j) = x[column(spec_.columns, j)];
    }
  }

  // raw = b1·x; log_gate = log pi. The selection of a top-k gate is the library's own, row by row.
  void gate_scores() {
    const Eigen::Map<const Matrix> slopes(p_.gate_slope.data(), p_.gate_inputs, p_.experts);
    raw_ = gate_x_.rightCols(p_.gate_inputs) * slopes;
    log_gate_.resize(rows_, p_.experts);
    for (Index k = 0; k < p_.experts; ++k) {
      const double bias = p_.gate_bias[static_cast<size_t>(k)];
      log_gate_.col(k) = raw_.col(k);
      if (curved()) log_gate_.col(k) = values(k) / spec_.gate.kind->temperature(p_);
      log_gate_.col(k).array() += bias;
    }
    const int64_t active = spec_.gate.kind->active(spec_.gate, p_.experts);
    if (active < p_.experts) select(active);
    const Vector top = log_gate_.rowwise().maxCoeff();
    const Vector sum = (log_gate_.colwise() - top).array().exp().rowwise().sum();
    log_gate_.colwise() -= (top.array() + sum.array().log()).matrix();
  }

  bool curved() const { return spec_.gate.kind->tempered() || !spec_.gate.kind->linear(spec_.gate); }
  Vector values(Index k) const {
    return raw_.col(k).unaryExpr([&](double u) { return spec_.gate.kind->value(spec_.gate, u); });
  }

  void select(int64_t active) {
    std::vector<double> rank(static_cast<size_t>(p_.experts)), score(rank.size());
    for (Index i = 0; i < rows_; ++i) {
      for (Index k = 0; k < p_.experts; ++k) {
        score[static_cast<size_t>(k)] = log_gate_(i, k);
        rank[static_cast<size_t>(k)] = spec_.gate.select_with_bias ? log_gate_(i, k) : raw_(i, k);
      }
      keep_largest(rank.data(), p_.experts, active, score.data());
      for (Index k = 0; k < p_.experts; ++k) log_gate_(i, k) = score[static_cast<size_t>(k)];
    }
  }

  Matrix coefficients(Index k) const {
    Matrix c(1 + p_.inputs, p_.outputs);
    for (Index o = 0; o < p_.outputs; ++o) {
      const Index row = k * p_.outputs + o;
      c(0, o) = p_.intercept[static_cast<size_t>(row)];
      for (Index j = 0; j < p_.inputs; ++j) c(1 + j, o) = p_.slope[static_cast<size_t>(row * p_.inputs + j)];
    }
    return c;
  }

  // The density of every expert and its derivatives by the coordinates, row by row.
  void expert_terms(int64_t begin) {
    log_joint_ = log_gate_;
    first_.assign(static_cast<size_t>(p_.experts), Rows(rows_, coordinates_));
    second_.assign(static_cast<size_t>(p_.experts), Rows(rows_, coordinates_ * coordinates_));
    const auto& density = *spec_.family;
    const auto* law = density.location_scale();
    for (Index k = 0; k < p_.experts; ++k) {
      const Rows predictor = expert_x_ * coefficients(k);
      auto at = expert_at(p_, k, nullptr);
      const double constant = law != nullptr ? law->constant(at.scale, at.shape) : 0;
      for (Index i = 0; i < rows_; ++i) {
        const double y = data_.y[begin + i];
        at.predictor = predictor.row(i).data();
        density.derivatives(at, y, first_[static_cast<size_t>(k)].row(i).data(),
                            second_[static_cast<size_t>(k)].row(i).data());
        log_joint_(i, k) += law != nullptr ? constant - law->cost((y - at.predictor[0]) / at.scale, at.shape)
                                           : density.log_density(at, y);
      }
    }
  }

  void posterior() {
    const Vector top = log_joint_.rowwise().maxCoeff();
    tau_ = (log_joint_.colwise() - top).array().exp().matrix();
    const Array sum = tau_.rowwise().sum().array();
    tau_.array().colwise() /= sum;
    pi_ = log_gate_.array().exp().matrix();
    log_likelihood_ += (top.array() + sum.log()).sum();
  }

  // d score_k / d gate parameters, [rows, gates], one matrix per expert.
  void gate_jacobians() {
    jacobian_.assign(static_cast<size_t>(p_.experts), Matrix::Zero(rows_, layout_.gates));
    for (Index k = 0; k < p_.experts; ++k) {
      auto& j = jacobian_[static_cast<size_t>(k)];
      const auto e = static_cast<size_t>(k);
      if (layout_.bias[e] >= 0) j.col(layout_.bias[e]).setOnes();
      Vector factor = Vector::Ones(rows_);
      if (curved())
        factor = raw_.col(k).unaryExpr([&](double u) { return spec_.gate.kind->slope(spec_.gate, u); }) /
                 spec_.gate.kind->temperature(p_);
      if (layout_.temperature >= 0)
        j.col(layout_.temperature) = -values(k) / spec_.gate.kind->temperature(p_);
      if (layout_.slope[e] >= 0)
        j.middleCols(layout_.slope[e], p_.gate_inputs) =
            (gate_x_.rightCols(p_.gate_inputs).array().colwise() * factor.array()).matrix();
    }
  }

  // Observed score: sum_k (tau_k − pi_k) J_k. Complete score of expert k: g_k = J_k − sum_l pi_l J_l. What
  // the information adds is sum_k (pi_k − tau_k) g_k g_k', because −H_c = sum_k pi_k g_k g_k' whatever the
  // expert.
  void gate_part(Matrix& total) {
    gate_jacobians();
    Matrix mean = Matrix::Zero(rows_, layout_.gates);
    for (Index k = 0; k < p_.experts; ++k) {
      const auto& j = jacobian_[static_cast<size_t>(k)];
      mean += (j.array().colwise() * pi_.col(k).array()).matrix();
      total.leftCols(layout_.gates) += (j.array().colwise() * (tau_.col(k) - pi_.col(k)).array()).matrix();
    }
    for (Index k = 0; k < p_.experts; ++k) {
      auto& g = jacobian_[static_cast<size_t>(k)];
      g -= mean;
      const Vector w = pi_.col(k) - tau_.col(k);
      information_.topLeftCorner(layout_.gates, layout_.gates) +=
          g.transpose() * (g.array().colwise() * w.array()).matrix();
    }
  }

  /// The columns that coordinate `c` is linear in, and its place among an expert's parameters.
  const Matrix& features(Index c) const { return c < p_.outputs ? expert_x_ : ones_; }
  Index place(Index c) const { return std::min<Index>(c, p_.outputs) * p_.inputs + c; }

  // Complete score of expert k, [rows, expert_size].
  Matrix complete_score(Index k) const {
    Matrix part(rows_, layout_.expert_size);
    for (Index c = 0; c < coordinates_; ++c) {
      const auto& x = features(c);
      part.middleCols(place(c), x.cols()) =
          (x.array().colwise() * first_[static_cast<size_t>(k)].col(c).array()).matrix();
    }
    return part;
  }

  // Its −H_c, weighted by tau.
  Matrix curvature(Index k) const {
    Matrix result(layout_.expert_size, layout_.expert_size);
    for (Index a = 0; a < coordinates_; ++a) {
      for (Index b = 0; b <= a; ++b) {
        const Array weight =
            -tau_.col(k).array() * second_[static_cast<size_t>(k)].col(a * coordinates_ + b).array();
        const auto &x = features(a), &z = features(b);
        const Matrix block = x.transpose() * (z.array().colwise() * weight).matrix();
        result.block(place(a), place(b), x.cols(), z.cols()) = block;
        result.block(place(b), place(a), z.cols(), x.cols()) = block.transpose();
      }
    }
    return result;
  }

  void expert_part(Index k, Matrix& total) {
    const Index at = layout_.expert[static_cast<size_t>(k)], size = layout_.expert_size;
    const Matrix part = complete_score(k);
    const Matrix expected = (part.array().colwise() * tau_.col(k).array()).matrix();
    total.middleCols(at, size) += expected;
    information_.block(at, at, size, size) += curvature(k) - part.transpose() * expected;
    information_.block(at, 0, size, layout_.gates) -=
        expected.transpose() * jacobian_[static_cast<size_t>(k)];
  }

  const DataView& data_;
  const MixtureSpec& spec_;
  const MixtureParameters& p_;
  const Layout& layout_;
  Vector score_;
  Matrix information_, gate_x_, expert_x_, ones_, raw_, log_gate_, log_joint_, tau_, pi_;
  std::vector<Matrix> jacobian_;
  std::vector<Rows> first_, second_;
  Index coordinates_;
  double log_likelihood_ = 0;
  Index rows_ = 0;
};

void check_inputs(const DataView& data, const MixtureSpec& spec, const MixtureParameters& start) {
  check_spec(spec, data.d);
  check_data(data, spec);
  const auto* law = spec.family->location_scale();
  GW_CHECK(!spec.family->shape() && (law == nullptr || law->kink() == 0),
           "theory/local_mle: expected experts with a smooth density and no shape parameter, got {}",
           name_of(spec.family));
  GW_CHECK(data.weight == nullptr,
           "theory/local_mle: expected rows without weights, got weights; use fit_from");
  GW_CHECK(start.experts == spec.experts, "theory/local_mle: expected a start with {} experts, got {}",
           spec.experts, start.experts);
}

/// Levenberg's damped step; false if the damped information is not positive definite.
bool damped_step(const LocalExpansion& at, double mu, const Vector& diagonal,
                 const std::vector<int64_t>& held, Vector& step, double& promise) {
  const auto size = static_cast<Index>(at.score.size());
  Matrix damped = Eigen::Map<const Matrix>(at.information.data(), size, size);
  damped.diagonal() += mu * diagonal;
  Vector score = Eigen::Map<const Vector>(at.score.data(), size);
  for (const int64_t i : held) {
    damped.row(i).setZero(), damped.col(i).setZero();
    damped(i, i) = 1, score(i) = 0;
  }
  const Eigen::LLT<Matrix> factor(damped);
  if (factor.info() != Eigen::Success) return false;
  step = factor.solve(score);
  promise = 0.5 * score.dot(step) + 0.5 * mu * step.dot(diagonal.cwiseProduct(step));
  return std::isfinite(promise) && step.allFinite();
}

void floor_scales(MixtureParameters& p, double least) {
  for (double& scale : p.scale) scale = std::max(scale, least);
}

Vector marquardt_diagonal(const LocalExpansion& at) {
  const auto size = static_cast<Index>(at.score.size());
  const Vector diagonal = Eigen::Map<const Matrix>(at.information.data(), size, size).diagonal().cwiseAbs();
  return diagonal.array() + 1e-6 * diagonal.maxCoeff() + 1e-9;
}

constexpr double kLargestDamping = 1e12;  // steps are then below rounding

/// One ascent: where it is, and how much it trusts the quadratic.
struct Ascent {
  const DataView& data;
  const MixtureSpec& spec;
  const LocalOptions& options;
  Layout layout;
  LocalFit fit;
  LocalExpansion here;
  std::vector<int64_t> held;  // coordinates that are known
  double mu = 1e-3;

  Ascent(const DataView& rows, const MixtureSpec& model, const MixtureParameters& start,
         const LocalOptions& given)
      : data(rows), spec(model), options(given), layout(model, start, given.pin_last_slope) {
    fit.parameters = start;
    floor_scales(fit.parameters, options.min_scale);
    if (options.hold_constants) held = layout.constants;
    here = Expander(data, spec, fit.parameters, layout).run();
    fit.trace.push_back(here.log_likelihood);
  }

  void iterate() {
    ++fit.iterations;
    Vector step;
    double promise = 0;
    if (!damped_step(here, mu, marquardt_diagonal(here), held, step, promise)) {
      mu *= 8;
      return;
    }
    if (promise < options.tolerance) {
      fit.converged = true;
      return;
    }
    auto moved = layout.codec.encode(fit.parameters);
    for (size_t i = 0; i < moved.size(); ++i) moved[i] += step(static_cast<Index>(i));
    auto candidate = fit.parameters;
    layout.codec.decode(moved, candidate);
    floor_scales(candidate, options.min_scale);
    auto there = Expander(data, spec, candidate, layout).run();
    const double gain = there.log_likelihood - here.log_likelihood;
    if (!(gain > 0)) {  // also where it is not a number
      mu *= 8;
      return;
    }
    mu = std::max(mu * (gain > 0.75 * promise ? 0.1 : gain < 0.25 * promise ? 4 : 1), 1e-12);
    fit.parameters = std::move(candidate);
    here = std::move(there);
    fit.trace.push_back(here.log_likelihood);
  }
};

}  // namespace

LocalExpansion expand(const DataView& data, const MixtureSpec& spec, const MixtureParameters& parameters,
                      bool pin_last_slope) {
  check_inputs(data, spec, parameters);
  const Layout layout(spec, parameters, pin_last_slope);
  return Expander(data, spec, parameters, layout).run();
}

LocalFit maximise_near(const DataView& data, const MixtureSpec& spec, const MixtureParameters& start,
                       const LocalOptions& options) {
  check_inputs(data, spec, start);
  Ascent ascent(data, spec, start, options);
  while (ascent.fit.iterations < options.max_iterations && ascent.mu < kLargestDamping &&
         !ascent.fit.converged)
    ascent.iterate();
  ascent.fit.log_likelihood = ascent.here.log_likelihood;
  return ascent.fit;
}

}  // namespace gw::likelihood
