#pragma once
// A call of experts whose weights are held for inference, in whatever form. Not for users.
#include <ATen/ATen.h>

#include <vector>

#include "gatewright/ops/moe_ffn_call.h"

namespace gw::ops {

struct HeldSizes {
  int64_t experts = 0, in = 0, hidden = 0, out = 0;
};

/// The tensors of a call in the order that kernels read them in.
template <class T>
struct HeldCall {
  at::Tensor x, token, weight, parameters;  ///< parameters: of the activation, [E, count], or undefined
  FfnActivation activation;

  HeldCall(const at::Tensor& given, const at::Tensor& tokens, const at::Tensor& factors,
           const FfnOptions& options, int64_t experts)
      : x(given.contiguous()),
        token(tokens.contiguous()),
        weight(factors.to(at::kFloat).contiguous()),
        activation(ffn_activation(options.activation)) {
    if (!activation.parameters.empty())
      parameters =
          at::tensor(activation.parameters, at::kDouble).to(at::kFloat).repeat({experts, 1}).contiguous();
  }

  /// All of a problem but its weights; it points into this and into `offsets`.
  template <class Problem>
  Problem problem(const HeldSizes& sizes, const std::vector<int64_t>& offsets,
                  const kernels::GluBounds& bounds) const {
    Problem p;
    p.experts = sizes.experts, p.in = sizes.in, p.hidden = sizes.hidden, p.out = sizes.out;
    p.tokens = x.size(0), p.offsets = offsets.data();
    p.token = static_cast<const int64_t*>(token.data_ptr());
    p.weight = static_cast<const float*>(weight.data_ptr()), p.x = static_cast<const T*>(x.data_ptr());
    p.activation = activation.fast, p.bounds = bounds;
    p.unit = {activation.place, parameters.defined() ? parameters.data_ptr<float>() : nullptr,
              static_cast<int>(activation.parameters.size())};
    return p;
  }
};

}  // namespace gw::ops
