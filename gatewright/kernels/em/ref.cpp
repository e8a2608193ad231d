// Row by row, as the formulas are written.
#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/kernels/em/em.h"

namespace gw::kernels {
namespace {

void linear(const double* const* columns, int64_t count, int64_t rows, double bias, const double* coefficient,
            double* out) {
  for (int64_t r = 0; r < rows; ++r) {
    double sum = bias;
    for (int64_t j = 0; j < count; ++j) sum += coefficient[j] * columns[j][r];
    out[r] = sum;
  }
}

void gaussian(const double* y, int64_t rows, double constant, double inverse_scale, double* out) {
  for (int64_t r = 0; r < rows; ++r) {
    const double standard = (y[r] - out[r]) * inverse_scale;
    out[r] = std::max(constant - 0.5 * standard * standard, -1e300);
  }
}

double posterior(double* score, double* joint, int64_t stride, int64_t experts, const double* weight,
                 int64_t rows) {
  double total = 0;
  for (int64_t r = 0; r < rows; ++r) {
    double top_score = -std::numeric_limits<double>::infinity(), top_joint = top_score;
    for (int64_t k = 0; k < experts; ++k) {
      joint[k * stride + r] += score[k * stride + r];
      top_score = std::max(top_score, score[k * stride + r]);
      top_joint = std::max(top_joint, joint[k * stride + r]);
    }
    double sum_score = 0, sum_joint = 0;
    for (int64_t k = 0; k < experts; ++k) {
      sum_score += score[k * stride + r] = std::exp(score[k * stride + r] - top_score);
      sum_joint += joint[k * stride + r] = std::exp(joint[k * stride + r] - top_joint);
    }
    for (int64_t k = 0; k < experts; ++k) {
      score[k * stride + r] /= sum_score;
      joint[k * stride + r] *= weight[r] / sum_joint;
    }
    total += weight[r] * (top_joint + std::log(sum_joint) - top_score - std::log(sum_score));
  }
  return total;
}

void residual(const double* posterior, const double* weight, const double* probability, int64_t rows,
              double* out) {
  for (int64_t r = 0; r < rows; ++r) out[r] = posterior[r] - weight[r] * probability[r];
}

void information(const double* weight, const double* probability, const double* other, int64_t rows,
                 double* out) {
  for (int64_t r = 0; r < rows; ++r) {
    out[r] = other == nullptr ? weight[r] * probability[r] * (1 - probability[r])
                              : -weight[r] * probability[r] * other[r];
  }
}

void sums(const double* weight, const double* const* columns, int64_t count, int64_t rows, double* sum) {
  for (int64_t j = 0; j < count; ++j) {
    for (int64_t r = 0; r < rows; ++r) sum[j] += weight[r] * columns[j][r];
  }
}

void moments(const double* weights, int64_t stride, int64_t many, const double* const* columns, int64_t count,
             int64_t rows, double* moment, int64_t apart) {
  for (int64_t w = 0; w < many; ++w) {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = 0; j <= i; ++j) {
        double sum = 0;
        for (int64_t r = 0; r < rows; ++r) sum += weights[w * stride + r] * columns[i][r] * columns[j][r];
        moment[w * apart + i * (i + 1) / 2 + j] += sum;
      }
    }
  }
}

}  // namespace

const EmTable em_ref{linear, gaussian, posterior, residual, information, sums, moments};

}  // namespace gw::kernels
