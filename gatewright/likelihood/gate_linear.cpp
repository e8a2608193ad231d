#include "gatewright/likelihood/gate_linear.h"

#include <algorithm>

#include "gatewright/likelihood/linear_algebra.h"

namespace gw::likelihood {
namespace {

// In standardised units: a Newton step from a flat region may point to the end of the world.
constexpr double kLongestStep = 8;

std::vector<double> weighted_moments(const Design& design) {
  const std::vector<double> ones(static_cast<size_t>(design.padded), 1.0);
  std::vector<const double*> columns{ones.data()};
  columns.insert(columns.end(), design.gate_input.begin(), design.gate_input.end());
  const auto count = static_cast<int64_t>(columns.size());
  std::vector<double> result(static_cast<size_t>(packed_size(count)), 0.0);
  ops::em_moments(design.weight, {columns.data(), count, design.padded}, result.data());
  return result;
}

}  // namespace

LinearGateStep::LinearGateStep(const MixtureSpec& spec, const Design& design, const FitOptions& options,
                               double ridge)
    : experts_(spec.experts),
      columns_(static_cast<int64_t>(design.gate_input.size()) + 1),
      ridge_(ridge / design.row_unit),
      solver_(options.gate_solver),
      logistic_(experts_ - 1, columns_, solver_ == GateSolver::kNewton) {
  if (solver_ == GateSolver::kMm) moments_ = weighted_moments(design);
}

void LinearGateStep::scores(const Block& block, const MixtureParameters& p, double* score) const {
  const auto columns = Block::beside_ones(block.gates());
  for (int64_t k = 0; k < experts_ - 1; ++k) {
    ops::em_linear(columns, p.gate_bias[static_cast<size_t>(k)], p.gate_slope.data() + k * p.gate_inputs,
                   score + k * Block::kStride);
  }
  std::fill_n(score + (experts_ - 1) * Block::kStride, block.rows, 0.0);
}

void LinearGateStep::accumulate(const Block& block, const MixtureParameters&, const double* probability,
                                const double* posterior, double* scratch, double* sum) const {
  logistic_.accumulate(block.gates(), block.weight(), probability, posterior, Block::kStride, scratch, sum);
}

void LinearGateStep::update(const MixtureParameters& p, const double* sum, MixtureParameters& target) const {
  if (experts_ == 1) return;
  std::vector<double> current;
  for (int64_t k = 0; k < experts_ - 1; ++k) {
    current.push_back(p.gate_bias[static_cast<size_t>(k)]);
    current.insert(current.end(), p.gate_slope.begin() + k * p.gate_inputs,
                   p.gate_slope.begin() + (k + 1) * p.gate_inputs);
  }
  const auto step = solver_ == GateSolver::kNewton
                        ? logistic_.step(sum, current, ridge_, kLongestStep)
                        : logistic_.bounded_step(sum, current, ridge_, moments_.data());
  for (int64_t k = 0; k < experts_ - 1; ++k) {
    const double* of = step.data() + k * columns_;
    target.gate_bias[static_cast<size_t>(k)] = p.gate_bias[static_cast<size_t>(k)] + of[0];
    for (int64_t j = 0; j < p.gate_inputs; ++j) {
      const auto at = static_cast<size_t>(k * p.gate_inputs + j);
      target.gate_slope[at] = p.gate_slope[at] + of[1 + j];
    }
  }
}

}  // namespace gw::likelihood
