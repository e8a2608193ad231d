#pragma once
// A decoder as the file that llama.cpp loads.
#include <string>

#include "gatewright/base/stop.h"
#include "gatewright/language/language_model.h"

namespace gw::inline language {

/// Writes one GGUF file of version 3. `type`: f32, f16, bf16 or q8_0, of the matrices; norms, biases and
/// routers are f32 as llama.cpp wants them, and matrices whose rows are no multiple of 32 are f16 beside
/// q8_0. Rows of queries and keys are reordered where llama.cpp does that. A vocabulary is written where the
/// model came from a GGUF file that has one. Errors: ValueError for a family that is not read from GGUF
/// either, for matrices in codes, and where the
///         metadata that llama.cpp knows would be read back as another model, naming what differs; IoError.
///         The file is whole or not there.
/// Cost:   a writing of all tensors; memory for one.
void save_gguf(const LanguageModel& model, const std::string& path, const std::string& type = "f16",
               const Tick& tick = {});

}  // namespace gw::inline language
