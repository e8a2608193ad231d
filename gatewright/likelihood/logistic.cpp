#include "gatewright/likelihood/logistic.h"

#include <algorithm>
#include <cmath>

#include "gatewright/likelihood/linear_algebra.h"

namespace gw::likelihood {

int64_t LogisticSums::size() const {
  return free_ * columns_ + (information_ ? packed_size(free_) * packed_size(columns_) : 0);
}

void LogisticSums::accumulate(const ops::EmColumns& columns, const double* weight, const double* probability,
                              const double* target, int64_t stride, double* scratch, double* sum) const {
  double* information = sum + free_ * columns_;
  int64_t filled = 0;
  const auto flush = [&] {
    if (filled > 0) ops::em_moments(scratch, stride, filled, columns, information);
    information += filled * packed_size(columns_), filled = 0;
  };
  for (int64_t a = 0; a < free_; ++a) {
    for (int64_t b = 0; information_ && b <= a; ++b) {
      const double* other = a == b ? nullptr : probability + b * stride;
      ops::em_information(weight, probability + a * stride, other, columns.rows, scratch + filled * stride);
      if (++filled == kScratch) flush();
    }
  }
  flush();
  for (int64_t a = 0; a < free_; ++a) {
    ops::em_residual(target + a * stride, weight, probability + a * stride, columns.rows, scratch);
    ops::em_sums(scratch, columns, sum + a * columns_);
  }
}

std::vector<double> LogisticSums::solve_for(const double* sum, const std::vector<double>& current,
                                            double ridge, std::vector<double> matrix) const {
  const int64_t size = free_ * columns_;
  std::vector<double> right(sum, sum + size);
  for (int64_t i = 0; i < size; ++i) {
    if (i % columns_ == 0) continue;
    matrix[static_cast<size_t>(i * size + i)] += ridge;
    right[static_cast<size_t>(i)] -= ridge * current[static_cast<size_t>(i)];
  }
  return solve(matrix, right);
}

std::vector<double> LogisticSums::step(const double* sum, const std::vector<double>& current, double ridge,
                                       double limit) const {
  const int64_t size = free_ * columns_;
  const double* information = sum + size;
  std::vector<double> matrix(static_cast<size_t>(size * size));
  for (int64_t a = 0; a < free_; ++a) {
    for (int64_t b = 0; b < free_; ++b) {
      const double* block = information + packed_at(a, b) * packed_size(columns_);
      for (int64_t i = 0; i < columns_; ++i) {
        double* row = matrix.data() + (a * columns_ + i) * size + b * columns_;
        for (int64_t j = 0; j < columns_; ++j) row[j] = block[packed_at(i, j)];
      }
    }
  }
  auto result = solve_for(sum, current, ridge, std::move(matrix));
  double longest = 0;
  for (const double value : result) longest = std::max(longest, std::abs(value));
  for (auto& value : result) value *= longest > limit ? limit / longest : 1;
  return result;
}

std::vector<double> LogisticSums::bounded_step(const double* sum, const std::vector<double>& current,
                                               double ridge, const double* moments) const {
  const int64_t size = free_ * columns_;
  std::vector<double> matrix(static_cast<size_t>(size * size));
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < size; ++j) {
      const double bound =
          0.5 * ((i / columns_ == j / columns_ ? 1.0 : 0.0) - 1.0 / static_cast<double>(free_ + 1));
      matrix[static_cast<size_t>(i * size + j)] = bound * moments[packed_at(i % columns_, j % columns_)];
    }
  }
  return solve_for(sum, current, ridge, std::move(matrix));
}

}  // namespace gw::likelihood
