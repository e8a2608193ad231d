// Balanced plans over a whole batch as functions of scores, without gradients: gatewright.ops.sinkhorn and
// its neighbours.
#include "gatewright/routing/transport.h"

#include <torch/library.h>

#include "python/csrc/bind.h"

namespace gw::python {
namespace {

using at::Tensor;
using Solved = std::tuple<Tensor, int64_t, double>;

void expect_scores(const char* what, const Tensor& scores) {
  if (scores.dim() != 2 || !scores.is_floating_point() || scores.size(1) < 1)
    throw ValueError(std::string(what) + ": expected scores [T, E] of a floating type, got " +
                     std::to_string(scores.dim()) + " dimensions of " + c10::toString(scores.scalar_type()));
  if (!scores.isfinite().all().item<bool>())
    throw ValueError(std::string(what) + ": expected finite scores, got NaN or infinity");
}

Solved sinkhorn(const Tensor& scores, double temperature, int64_t iterations, double tolerance) {
  return guarded([&] {
    expect_scores("sinkhorn", scores);
    if (!(temperature > 0) || iterations < 1)
      throw ValueError("sinkhorn: expected a temperature above 0 and at least one iteration, got less");
    const auto found = gw::sinkhorn(scores.detach(), temperature, iterations, tolerance);
    return Solved(found.plan, found.iterations, found.residual);
  });
}

Tensor balanced_assignment(const Tensor& scores, double precision) {
  return guarded([&] {
    expect_scores("balanced_assignment", scores);
    if (!(precision > 0)) throw ValueError("balanced_assignment: expected a precision above 0, got none");
    return gw::balanced_assignment(scores.detach(), precision);
  });
}

Solved sparse_transport(const Tensor& scores, int64_t k, double gamma, int64_t iterations, double tolerance) {
  return guarded([&] {
    expect_scores("sparse_transport", scores);
    if (!(gamma > 0) || iterations < 1)
      throw ValueError("sparse_transport: expected gamma above 0 and at least one iteration, got less");
    const auto found = gw::sparse_transport(scores.detach(), k, gamma, iterations, tolerance, true);
    return Solved(found.plan, found.iterations, found.residual);
  });
}

}  // namespace
}  // namespace gw::python

TORCH_LIBRARY_FRAGMENT(gatewright, m) {
  m.def("sinkhorn(Tensor scores, float temperature, int iterations, float tolerance) -> (Tensor, int, float)",
        gw::python::sinkhorn);
  m.def("balanced_assignment(Tensor scores, float precision) -> Tensor", gw::python::balanced_assignment);
  m.def(
      "sparse_transport(Tensor scores, int k, float gamma, int iterations, float tolerance) -> (Tensor, int, "
      "float)",
      gw::python::sparse_transport);
}
