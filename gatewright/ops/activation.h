#pragma once
#include <ATen/core/Tensor.h>

#include "gatewright/ops/activation_function.h"

namespace gw::ops {

/// An activation of the catalogue, value by value.
/// Math:   y = f(x; parameters); undefined parameters: those of `f`.
/// Shapes: x any, f32, bf16 (computed in f32) or f64, on the CPU → y like x; parameters [P].
/// Errors: ValueError for other dtypes and devices, parameters of another number or of an activation whose
///         paper learns none, and for second derivatives (of those that libtorch has, none).
/// Cost:   one pass, by vectors except where `gatewright list activations` says "scalar"; backward one more.
///         Keeps x.
/// Grad:   x by the catalogue's slope (of "straight-through" ones not the derivative); parameters: sums in a
///         fixed order. Where libtorch has the activation (identity, relu, relu_squared, sigmoid, tanh, silu,
///         quick_gelu, gelu, gelu_tanh), its own functions are taken, to any order of derivatives.
at::Tensor activation(const at::Tensor& x, const ActivationFunction& f, const at::Tensor& parameters = {});

}  // namespace gw::ops
