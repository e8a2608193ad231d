#pragma once
// Matrix products of tokens.
#include <torch/nn/module.h>

#include <optional>

#include "gatewright/base/json.h"
#include "gatewright/base/rng.h"
#include "gatewright/language/blocks/decisions.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/dense.h"

namespace gw::inline language {

/// y = x·Wᵀ + b, on the kernels of the mixtures where no gradient is recorded: a row's bits then do not
/// depend on the other rows. Shapes: x [N, in] → [N, out], W [out, in]; in and out in the type of W.
class Projection : public torch::nn::Module {
 public:
  /// `drawn` false: memory that a checkpoint will fill, else normal values of the deviation 1/√in.
  Projection(int64_t in, int64_t out, bool bias, const Rng& rng, bool drawn);
  at::Tensor forward(const at::Tensor& x) const;
  /// The same with what the adapters add to it, where there are some.
  at::Tensor forward(const at::Tensor& x, Decisions& decisions) const;
  /// A mixture of adapters beside the matrix (gatewright/models/adapted_linear.h), which decides at `site`.
  void adapt(const Json& adapters, const Rng& rng, const std::string& site);
  /// After an optimiser step, as Mixture::end_step.
  void end_step();
  /// The matrix in codes, for inference; the parameter is empty then. Errors: as quantise().
  void hold(int64_t bits, int64_t group);
  /// The same with the codes of a file as they are. Errors: as ops::dense_coded(); ValueError for other
  /// sizes.
  void keep(const ops::CodedMatrix& codes);
  /// Of codes and scales.
  int64_t held_bytes() const { return held_ ? held_->coded_bytes() : 0; }

 private:
  at::Tensor weight_, bias_;
  std::optional<ops::DenseWeight> held_;
  std::shared_ptr<Mixture> adapters_;
  std::string site_;
};

/// The same of a matrix that somebody else owns.
at::Tensor projected(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// Rows [N, in] sorted by expert, as a plan has them, each through its expert's matrix: weight [E, out, in],
/// or codes of each. Errors: ValueError for a plan without rows.
at::Tensor projected_by_expert(const at::Tensor& rows, const RoutingPlan& plan, const at::Tensor& weight,
                               const std::vector<ops::DenseWeight>& held = {});

}  // namespace gw::inline language
