#include "gatewright/models/table_rows.h"

#include <ATen/ATen.h>

#include "gatewright/ops/random.h"

namespace gw::inline models {

Batch drawn_rows(int64_t count, int64_t inputs, const Rng& rng) {
  Batch batch;
  batch.fields["x"] = ops::normal(rng.fork("x"), {count, inputs}, 0, 1);
  batch.index = at::arange(count, at::kLong);
  return batch;
}

void tell_domain(RouterInputs& inputs, const at::Tensor& domain, int64_t experts) {
  inputs.task = domain;
  inputs.route = domain.remainder(experts);
}

}  // namespace gw::inline models
