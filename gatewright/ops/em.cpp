#include "gatewright/ops/em.h"

#include "gatewright/base/check.h"
#include "gatewright/kernels/em/family.h"

namespace gw::ops {
namespace {

static_assert(kEmLanes == kernels::kEmLanes);

const kernels::EmTable& table(int64_t rows) {
  GW_CHECK(rows >= 0 && rows % kEmLanes == 0,
           "ops/mixture: expected rows in multiples of {}, got {}; pad them with weight 0", kEmLanes, rows);
  return kernels::em_family()();
}

}  // namespace

void em_linear(const EmColumns& columns, double bias, const double* coefficient, double* out) {
  table(columns.rows).linear(columns.column, columns.count, columns.rows, bias, coefficient, out);
}

void em_gaussian(const double* y, int64_t rows, double constant, double inverse_scale, double* out) {
  table(rows).gaussian(y, rows, constant, inverse_scale, out);
}

double em_posterior(double* score, double* joint, int64_t stride, int64_t experts, const double* weight,
                    int64_t rows) {
  GW_CHECK(experts >= 1 && stride >= rows,
           "ops/mixture: expected at least one expert and a stride of {} or more, got {} and {}", rows,
           experts, stride);
  return table(rows).posterior(score, joint, stride, experts, weight, rows);
}

void em_residual(const double* posterior, const double* weight, const double* probability, int64_t rows,
                 double* out) {
  table(rows).residual(posterior, weight, probability, rows, out);
}

void em_information(const double* weight, const double* probability, const double* other, int64_t rows,
                    double* out) {
  table(rows).information(weight, probability, other, rows, out);
}

void em_sums(const double* weight, const EmColumns& columns, double* sum) {
  table(columns.rows).sums(weight, columns.column, columns.count, columns.rows, sum);
}

void em_moments(const double* weight, const EmColumns& columns, double* moment) {
  em_moments(weight, columns.rows, 1, columns, moment);
}

void em_moments(const double* weights, int64_t stride, int64_t many, const EmColumns& columns,
                double* moment) {
  GW_CHECK(many >= 1 && stride >= columns.rows,
           "ops/mixture: expected at least one weight and a stride of {} or more, got {} and {}",
           columns.rows, many, stride);
  const int64_t apart = columns.count * (columns.count + 1) / 2;
  table(columns.rows)
      .moments(weights, stride, many, columns.column, columns.count, columns.rows, moment, apart);
}

}  // namespace gw::ops
