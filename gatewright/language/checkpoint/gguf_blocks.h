#pragma once
// The block formats of GGUF files.
#include <cstdint>
#include <string>

#include "gatewright/ops/block_weights.h"

namespace gw::inline language {

/// A type of GGUF tensors: `values` of them take `bytes`.
struct GgufType {
  uint32_t code;
  const char* name;
  int64_t values, bytes;
  void (*expand)(const uint8_t* block, float* to);  ///< one block; null: values that libtorch has
  const ops::BlockType* blocks = nullptr;  ///< how kernels multiply from its codes; null: they do not
};

/// The nearest codes of 32 values, as llama.cpp rounds them: a scale in f16, the largest value at ±127.
void q8_0_from(const float* values, uint8_t* block);

/// Null for a type that is not read. Read are F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q6_K MXFP4.
const GgufType* gguf_type(uint32_t code);
/// Their names, for messages.
std::string gguf_type_names();

}  // namespace gw::inline language
