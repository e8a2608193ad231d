#pragma once
// Small symmetric systems, behind plain pointers so that Eigen stays in one source file.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gw::likelihood {

/// Entries of a packed lower triangle, row by row: (i, j), j <= i, lies at i(i+1)/2 + j.
inline int64_t packed_size(int64_t size) { return size * (size + 1) / 2; }
inline int64_t packed_at(int64_t i, int64_t j) { return i >= j ? i * (i + 1) / 2 + j : j * (j + 1) / 2 + i; }

/// Symmetric matrix [size, size], rows one after another, both triangles filled.
using Matrix = std::vector<double>;

/// Solves A x = b for a positive semidefinite A given as packed lower triangle (its leading `size` rows are
/// used). Directions whose eigenvalue is below 1e-11 of the largest get no component, so a singular system
/// yields its smallest solution instead of NaN.
std::vector<double> solve_packed(const double* packed, int64_t size, const double* b);
/// The same for a full matrix.
std::vector<double> solve(const Matrix& matrix, const std::vector<double>& b);

/// Eigenvalues in ascending order and unit eigenvectors of a symmetric matrix; vector k is vectors[i * size +
/// k] over i.
/// Errors: InternalError for entries that are not finite.
struct EigenPairs {
  std::vector<double> values;
  Matrix vectors;
};
EigenPairs eigen_pairs(const Matrix& matrix, int64_t size);

/// Coefficients of the columns whose combination is nearest to `target`, by orthogonal factors: no squared
/// condition.
std::vector<double> least_squares_by_columns(const std::vector<std::vector<double>>& columns,
                                             const std::vector<double>& target);

/// a b, all [size, size]; and a b'.
Matrix product(const Matrix& a, const Matrix& b, std::size_t size);
Matrix product_transposed(const Matrix& a, const Matrix& b, std::size_t size);

/// The first column, in order, that the columns before it determine up to `tolerance` of its length; -1 if
/// none. `packed` holds the columns' inner products.
int64_t dependent_column(const double* packed, int64_t size, double tolerance = 1e-9);

/// Rows and columns that are marked become 0.
void remove_rows(Matrix& matrix, const std::vector<bool>& remove);

}  // namespace gw::likelihood
