#pragma once
// The numbers and activations of the CUDA levels.
#include "kernels/cuda/block.h"
#include "kernels/moe_ffn/rows.h"

namespace gw::kernels::cuda {

#include "kernels/moe_ffn/activation.inl"

}  // namespace gw::kernels::cuda
