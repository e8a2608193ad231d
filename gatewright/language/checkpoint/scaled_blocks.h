#pragma once
// Values of 8 and 4 bits with scales for blocks of them, as safetensors files of published models have them.
#include <ATen/core/Tensor.h>

namespace gw::inline language {

/// 8 bits with 4 for the exponent and 3 behind the point, biased by 7, without infinities (E4M3FN).
float e4m3_value(uint8_t code);

/// Math:   w_rc = value(code_rc)·scale_⌊r/rows⌋⌊c/columns⌋.
/// Shapes: codes [..., R, C] uint8 of the format E4M3FN; scales [..., ⌈R/rows⌉, ⌈C/columns⌉] of any floating
///         type → [..., R, C] f32. The last blocks may be smaller.
/// Errors: ValueError for other shapes and types.
/// Source: DeepSeek-AI 2024, arXiv 2412.19437, section 3.3; published as X.weight and X.weight_scale_inv,
/// which
///         multiplies in spite of its name.
at::Tensor expand_fp8(const at::Tensor& codes, const at::Tensor& scales, int64_t rows, int64_t columns);

/// 32 values of 4 bits (E2M1) share an exponent (E8M0, biased by 127).
/// Shapes: blocks [..., G, 16] uint8, the even values in the low halves; scales [..., G] uint8
///         → [..., 32·G] f32.
/// Errors: ValueError for other shapes and types.
/// Source: OCP Microscaling Formats 1.0; OpenAI 2025, arXiv 2508.10925, section 2.1.
at::Tensor expand_mxfp4(const at::Tensor& blocks, const at::Tensor& scales);

}  // namespace gw::inline language
