#include "gatewright/likelihood/experts_multinomial.h"

#include <algorithm>
#include <cmath>

namespace gw::likelihood {
namespace {

constexpr double kLongestStep = 5;

}  // namespace

// The ridge is on all coefficients but intercepts, in standardised units: 1e-6 keeps separable classes finite
// and shifts others by a millionth.
MultinomialStep::MultinomialStep(const MixtureSpec& spec, const Design& design, double ridge)
    : experts_(spec.experts),
      outputs_(spec.outputs()),
      columns_(static_cast<int64_t>(design.input.size()) + 1),
      ridge_(ridge / design.row_unit),
      logistic_(outputs_, columns_, true) {}

double MultinomialStep::ridge() const { return ridge_; }

// Per expert the probabilities of all classes, then `classes` columns that the softmax needs beside them.
void MultinomialStep::densities(const Block& block, const MixtureParameters& p, double* joint,
                                double* scratch) const {
  auto columns = block.inputs();
  ++columns.column, --columns.count;
  double* unused = scratch + experts_ * (outputs_ + 1) * Block::kStride;
  for (int64_t k = 0; k < experts_; ++k) {
    double* chance = scratch + k * (outputs_ + 1) * Block::kStride;
    for (int64_t s = 0; s < outputs_; ++s) {
      const int64_t row = k * outputs_ + s;
      ops::em_linear(columns, p.intercept[static_cast<size_t>(row)], p.slope.data() + row * p.inputs,
                     chance + s * Block::kStride);
    }
    std::fill_n(chance + outputs_ * Block::kStride, block.rows, 0.0);
    std::fill_n(unused, (outputs_ + 1) * Block::kStride, 0.0);
    ops::em_posterior(chance, unused, Block::kStride, outputs_ + 1, block.weight(), block.rows);
    for (int64_t r = 0; r < block.rows; ++r) {
      const double of_class = chance[static_cast<int64_t>(block.y()[r]) * Block::kStride + r];
      joint[k * Block::kStride + r] = std::log(std::max(of_class, 1e-300));
    }
  }
}

void MultinomialStep::accumulate(const Block& block, const MixtureParameters&, const double* posterior,
                                 double* scratch, double* sum) const {
  double* target = scratch + experts_ * (outputs_ + 1) * Block::kStride;
  double* column = target + outputs_ * Block::kStride;
  for (int64_t k = 0; k < experts_; ++k) {
    const double* chance = scratch + k * (outputs_ + 1) * Block::kStride;
    const double* t = posterior + k * Block::kStride;
    for (int64_t s = 0; s < outputs_; ++s) {
      for (int64_t r = 0; r < block.rows; ++r)
        target[s * Block::kStride + r] = block.y()[r] == static_cast<double>(s) ? t[r] : 0;
    }
    logistic_.accumulate(block.inputs(), t, chance, target, Block::kStride, column,
                         sum + k * logistic_.size());
  }
}

void MultinomialStep::update(const MixtureParameters& p, const double* sum, MixtureParameters& target) const {
  for (int64_t k = 0; k < experts_; ++k) {
    std::vector<double> current;
    for (int64_t row = k * outputs_; row < (k + 1) * outputs_; ++row) {
      current.push_back(p.intercept[static_cast<size_t>(row)]);
      current.insert(current.end(), p.slope.begin() + row * p.inputs, p.slope.begin() + (row + 1) * p.inputs);
    }
    const auto step = logistic_.step(sum + k * logistic_.size(), current, ridge_, kLongestStep);
    for (int64_t s = 0; s < outputs_; ++s) {
      const int64_t row = k * outputs_ + s;
      const double* of = step.data() + s * columns_;
      target.intercept[static_cast<size_t>(row)] = p.intercept[static_cast<size_t>(row)] + of[0];
      for (int64_t j = 0; j < p.inputs; ++j)
        target.slope[static_cast<size_t>(row * p.inputs + j)] += of[1 + j];
    }
  }
}

}  // namespace gw::likelihood
