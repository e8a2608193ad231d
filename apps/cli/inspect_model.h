#pragma once
// `gatewright inspect` of language models.
#include <string>

namespace gw {

/// Prints what a model is, and what it takes on this machine: memory, and the bytes that a token reads
/// against the bandwidth that reading has now. Weights are not loaded. Errors: as find_model and
/// view_language_model.
void inspect_model(const std::string& name, bool json);

}  // namespace gw
