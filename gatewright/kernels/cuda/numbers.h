#pragma once
// The numbers and activations of the CUDA levels.
#include "gatewright/kernels/cuda/block.h"
#include "gatewright/kernels/moe_ffn/rows.h"

namespace gw::kernels::cuda {

#include "gatewright/kernels/moe_ffn/activation.inl"

}  // namespace gw::kernels::cuda
