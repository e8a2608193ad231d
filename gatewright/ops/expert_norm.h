#pragma once
#include "gatewright/ops/conv_norm.h"

namespace gw::ops {

/// Batch normalisation where every expert has weights and statistics of its own: an expert's rows meet its
/// norm and no other's. With `norms` = 1 all rows meet the one norm, as in bucket_norm.
/// Shapes: x, residual as in bucket_norm; the vectors of `p` are [norms · C], expert e owns e·C … (e+1)·C.
/// Errors: as bucket_norm, but a training call with a single row for an expert takes that expert's running
///         statistics and leaves them: a batch may hold one image of an expert, whose map is 1×1 by then.
/// Cost:   as bucket_norm; masked execution (`routes.masked_expert`) also gathers the rows of each expert.
/// Experts without rows keep their statistics; their weights receive exact zeros where others receive
/// gradients.
std::vector<at::Tensor> expert_norm(const std::vector<at::Tensor>& x, const PartRoutes& routes,
                                    NormParameters& p, int64_t norms, bool train, bool relu,
                                    const std::vector<at::Tensor>& residual = {});

}  // namespace gw::ops
