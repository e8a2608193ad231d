#pragma once
// GGUF files as bytes.
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/base/stop.h"

namespace gw::inline language {

struct GgufOut {
  std::string name;
  std::vector<int64_t> shape;          ///< outermost first
  std::string type;                    ///< F32, F16, BF16 or Q8_0
  std::function<at::Tensor()> values;  ///< of that shape, asked for when it is written
};

/// Version 3, tensors in the order given. Metadata are the entries of an object: whole numbers as u32 or i32,
/// others as f32, lists by what they hold; "tokenizer.ggml.scores" always f32.
/// Errors: ValueError for values outside of the type (f16), rows that the type's blocks do not divide,
/// metadata
///         of other kinds; IoError. The file is whole or not there (gatewright/base/file.h).
/// Cost:   memory for one tensor.
void write_gguf(const std::string& path, const Json& metadata, const std::vector<GgufOut>& tensors,
                const Tick& tick = {});

}  // namespace gw::inline language
