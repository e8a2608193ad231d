#pragma once
// One step of Adam over the values of a parameter, in one pass.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

namespace gw::kernels {

/// What a step does to each value.
struct AdamStep {
  float beta1 = 0, beta2 = 0;
  float rest1 = 0, rest2 = 0;  ///< 1 − β1, 1 − β2, from f64: 1 − 0.999f is off by 1e-5 of itself
  float epsilon = 0;
  float rate = 0;  ///< the learning rate over 1 − β1^t
  float root = 0;  ///< 1 / √(1 − β2^t)
};

/// m ← β1·m + (1−β1)·g; v ← β2·v + (1−β2)·g²; θ ← θ − rate·m / (root·√v + ε), all [n] f32.
/// Bits: of a value, from its own four numbers alone, the same at every level: each sum is one fused step.
/// Cost: 28 bytes a value, read and written; 12 flop.
using AdamMove = void (*)(const AdamStep& step, int64_t n, const float* gradient, float* value, float* first,
                          float* second);

/// One level.
struct AdamTable {
  AdamMove move;
};

extern const AdamTable adam_ref, adam_avx2, adam_avx512, adam_neon;

}  // namespace gw::kernels
