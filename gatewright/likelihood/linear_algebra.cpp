#include "gatewright/likelihood/linear_algebra.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"

namespace gw::likelihood {
namespace {

using Dense = Eigen::MatrixXd;
using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

// What makes a diagonal 1, or 0 where it is nothing: columns in different units would otherwise decide the
// rank.
double unit_scale(double diagonal) { return diagonal > 0 ? 1 / std::sqrt(diagonal) : 0; }

constexpr double kRank = 1e-11;

// Elimination without exchanges in the upper triangle of [size, size], row by row; b follows. Every iteration
// solves some systems of 5 to 15 unknowns: with a library's general factorisation they took as long as 150
// rows. False, both spoilt, where a pivot is small beside the diagonal (1): pivots bound the condition from
// one side only, hence a margin.
bool eliminate(double* a, double* b, int64_t size) {
  for (int64_t j = 0; j < size; ++j) {
    const double* row = a + j * size;
    if (!(row[j] > 1e3 * kRank)) return false;
    const double inverse = 1 / row[j];
    for (int64_t k = j + 1; k < size; ++k) {
      const double factor = row[k] * inverse;
      double* other = a + k * size;
      for (int64_t i = k; i < size; ++i) other[i] -= factor * row[i];
      b[k] -= factor * b[j];
    }
  }
  for (int64_t j = size - 1; j >= 0; --j) {
    const double* row = a + j * size;
    for (int64_t i = j + 1; i < size; ++i) b[j] -= row[i] * b[i];
    b[j] /= row[j];
  }
  return true;
}

std::vector<double> solve_deficient(const Dense& scaled, const Vector& right, const Vector& scale) {
  const Eigen::SelfAdjointEigenSolver<Dense> eigen(scaled);
  const double limit = kRank * std::max(eigen.eigenvalues().maxCoeff(), 0.0);
  Vector part = eigen.eigenvectors().transpose() * right;
  for (Eigen::Index i = 0; i < part.size(); ++i)
    part[i] = eigen.eigenvalues()[i] > limit ? part[i] / eigen.eigenvalues()[i] : 0;
  const Vector x = scale.asDiagonal() * (eigen.eigenvectors() * part);
  return {x.data(), x.data() + x.size()};
}

// `at(i, j)`, j <= i: the matrix.
template <class At>
std::vector<double> solve_by(int64_t size, const double* b, At at) {
  std::vector<double> memory(static_cast<size_t>(size * (size + 1))), x(static_cast<size_t>(size));
  double *a = memory.data(), *scale = a + size * size;
  for (int64_t i = 0; i < size; ++i) {
    scale[i] = unit_scale(at(i, i));
    x[static_cast<size_t>(i)] = scale[i] * b[i];
    for (int64_t j = 0; j <= i; ++j) a[j * size + i] = scale[i] * scale[j] * at(i, j);
  }
  if (eliminate(a, x.data(), size)) {
    for (int64_t i = 0; i < size; ++i) x[static_cast<size_t>(i)] *= scale[i];
    return x;
  }
  Dense scaled(size, size);
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j <= i; ++j) scaled(i, j) = scaled(j, i) = scale[i] * scale[j] * at(i, j);
  }
  const Eigen::Map<const Vector> scales(scale, size);
  return solve_deficient(scaled, scales.cwiseProduct(Eigen::Map<const Vector>(b, size)), scales);
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
  return solve_by(size, b, [&](int64_t i, int64_t j) { return packed[packed_at(i, j)]; });
}

std::vector<double> solve(const Matrix& matrix, const std::vector<double>& b) {
  const auto size = static_cast<int64_t>(b.size());
  return solve_by(size, b.data(),
                  [&](int64_t i, int64_t j) { return matrix[static_cast<size_t>(i * size + j)]; });
}

EigenPairs eigen_pairs(const Matrix& matrix, int64_t size) {
  const Eigen::Map<const Rows> a(matrix.data(), size, size);
  GW_ENSURE(a.allFinite(), "fit: expected finite numbers in a symmetric matrix of {} rows", size);
  const Eigen::SelfAdjointEigenSolver<Dense> eigen{Dense(a)};
  EigenPairs pairs{{eigen.eigenvalues().data(), eigen.eigenvalues().data() + size}, Matrix(matrix.size())};
  Eigen::Map<Rows>(pairs.vectors.data(), size, size) = eigen.eigenvectors();
  return pairs;
}

std::vector<double> least_squares_by_columns(const std::vector<std::vector<double>>& columns,
                                             const std::vector<double>& target) {
  Dense matrix(static_cast<Eigen::Index>(target.size()), static_cast<Eigen::Index>(columns.size()));
  for (size_t k = 0; k < columns.size(); ++k)
    matrix.col(static_cast<Eigen::Index>(k)) =
        Eigen::Map<const Vector>(columns[k].data(), static_cast<Eigen::Index>(target.size()));
  const Vector x = matrix.colPivHouseholderQr().solve(
      Eigen::Map<const Vector>(target.data(), static_cast<Eigen::Index>(target.size())));
  return {x.data(), x.data() + x.size()};
}

Matrix product(const Matrix& a, const Matrix& b, size_t size) {
  const auto n = static_cast<Eigen::Index>(size);
  Matrix result(size * size);
  Eigen::Map<Rows>(result.data(), n, n) =
      Eigen::Map<const Rows>(a.data(), n, n) * Eigen::Map<const Rows>(b.data(), n, n);
  return result;
}

Matrix product_transposed(const Matrix& a, const Matrix& b, size_t size) {
  const auto n = static_cast<Eigen::Index>(size);
  Matrix result(size * size);
  Eigen::Map<Rows>(result.data(), n, n) =
      Eigen::Map<const Rows>(a.data(), n, n) * Eigen::Map<const Rows>(b.data(), n, n).transpose();
  return result;
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

void remove_rows(Matrix& matrix, const std::vector<bool>& remove) {
  const size_t size = remove.size();
  for (size_t i = 0; i < size * size; ++i) {
    if (remove[i / size] || remove[i % size]) matrix[i] = 0;
  }
}

}  // namespace gw::likelihood
