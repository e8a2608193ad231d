#include "stats/linear_algebra.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

namespace gw::stats {
namespace {

using Dense = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

// Unit diagonal first: columns in different units would otherwise decide the rank.
Vector diagonal_scale(const Dense& a) {
  Vector scale(a.rows());
  for (Eigen::Index i = 0; i < a.rows(); ++i) scale[i] = a(i, i) > 0 ? 1 / std::sqrt(a(i, i)) : 0;
  return scale;
}

std::vector<double> solve_dense(const Dense& a, const Vector& b) {
  constexpr double kRank = 1e-11;
  const Vector scale = diagonal_scale(a);
  const Dense scaled = scale.asDiagonal() * a * scale.asDiagonal();
  const Vector right = scale.asDiagonal() * b;
  Vector x;
  const Eigen::LDLT<Dense> factor(scaled);
  // The smallest pivot bounds the condition from one side only, hence a margin before the cheap way is trusted.
  if (factor.info() == Eigen::Success && factor.vectorD().minCoeff() > 1e3 * kRank) {
    x = factor.solve(right);
  } else {
    const Eigen::SelfAdjointEigenSolver<Dense> eigen(scaled);
    const double limit = kRank * std::max(eigen.eigenvalues().maxCoeff(), 0.0);
    Vector part = eigen.eigenvectors().transpose() * right;
    for (Eigen::Index i = 0; i < part.size(); ++i) part[i] = eigen.eigenvalues()[i] > limit ? part[i] / eigen.eigenvalues()[i] : 0;
    x = eigen.eigenvectors() * part;
  }
  x = scale.asDiagonal() * x;
  return {x.data(), x.data() + x.size()};
}

Dense unpack(const double* packed, int64_t size) {
  Dense a(size, size);
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < size; ++j) a(i, j) = packed[packed_at(i, j)];
  }
  return a;
}

}  // namespace

std::vector<double> solve_packed(const double* packed, int64_t size, const double* b) {
  return solve_dense(unpack(packed, size), Eigen::Map<const Vector>(b, size));
}

std::vector<double> solve(const Matrix& matrix, const std::vector<double>& b) {
  const auto size = static_cast<Eigen::Index>(b.size());
  return solve_dense(Eigen::Map<const Dense>(matrix.data(), size, size), Eigen::Map<const Vector>(b.data(), size));
}

Matrix pseudo_inverse(const Matrix& matrix, int64_t size, double tolerance, std::vector<bool>& determined) {
  constexpr double kOutside = 1e-4;  // share of a coordinate's direction that lies in the undetermined ones
  const Dense a = Eigen::Map<const Dense>(matrix.data(), size, size);
  determined.assign(static_cast<size_t>(size), false);
  if (!a.allFinite()) return Matrix(matrix.size(), 0.0);
  const Vector scale = diagonal_scale(a);
  const Eigen::SelfAdjointEigenSolver<Dense> eigen(Dense(scale.asDiagonal() * a * scale.asDiagonal()));
  Vector inverse(size), outside = Vector::Zero(size);
  for (int64_t i = 0; i < size; ++i) {
    const bool kept = eigen.eigenvalues()[i] > tolerance;
    inverse[i] = kept ? 1 / eigen.eigenvalues()[i] : 0;
    if (!kept) outside += eigen.eigenvectors().col(i).cwiseAbs2();
  }
  for (int64_t i = 0; i < size; ++i) determined[static_cast<size_t>(i)] = scale[i] > 0 && outside[i] < kOutside;
  const Dense turned = eigen.eigenvectors() * inverse.asDiagonal() * eigen.eigenvectors().transpose();
  const Dense result = scale.asDiagonal() * turned * scale.asDiagonal();
  return {result.data(), result.data() + result.size()};
}

int64_t dependent_column(const double* packed, int64_t size, double tolerance) {
  // Cholesky without pivoting: the pivot is the squared length of what the columns before leave of a column.
  Dense a = unpack(packed, size);
  for (int64_t j = 0; j < size; ++j) {
    const double length = a(j, j);
    double pivot = length;
    for (int64_t l = 0; l < j; ++l) pivot -= a(j, l) * a(j, l);
    if (!(pivot > tolerance * length)) return j;
    a(j, j) = std::sqrt(pivot);
    for (int64_t i = j + 1; i < size; ++i) {
      double value = a(i, j);
      for (int64_t l = 0; l < j; ++l) value -= a(i, l) * a(j, l);
      a(i, j) = value / a(j, j);
    }
  }
  return -1;
}

}  // namespace gw::stats
