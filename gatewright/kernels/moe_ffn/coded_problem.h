#pragma once
// Problems whose weights are not values: what drivers of every kind of codes are given.
#include "gatewright/kernels/moe_ffn/moe_ffn.h"

namespace gw::kernels {

/// As FfnProblem. `Weight`: stacked weights [E, lanes, k] with their biases.
template <class T, class Weight>
struct CodedProblem {
  int64_t experts = 0, in = 0, hidden = 0, out = 0, tokens = 0;
  const int64_t *offsets = nullptr, *token = nullptr;
  const float* weight = nullptr;
  const T* x = nullptr;  ///< [tokens, in]
  Weight gate, up, down;
  Activation activation = Activation::silu;
  GluBounds bounds;  ///< read with GLU only
  FfnUnit<float> unit;
};

/// y [rows, out] = x [rows, in]·weightᵀ + bias, `weight` [out, in] with its bias in it.
template <class T, class Weight>
struct ProductProblem {
  int64_t rows = 0, in = 0, out = 0;
  const T* x = nullptr;
  Weight weight;
  T* y = nullptr;
};

}  // namespace gw::kernels
