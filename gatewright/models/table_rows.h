#pragma once
// What models of rows share, and what they tell their routers.
#include "gatewright/models/model.h"
#include "gatewright/routing/inputs.h"

namespace gw::inline models {

/// A batch of `count` drawn rows "x" [count, inputs], for example() of models that read such rows.
Batch drawn_rows(int64_t count, int64_t inputs, const Rng& rng);

/// Tells routers the domain of every token [T]: as "task", and modulo the experts as "route".
void tell_domain(RouterInputs& inputs, const at::Tensor& domain, int64_t experts);

}  // namespace gw::inline models
