#pragma once
// Which matrices of a model can stay in the codes of its files, and giving them to it.
#include "gatewright/language/checkpoint/binding.h"

namespace gw::inline language {

/// Of these bindings: banks of perceptrons whose matrices (w1, w2 and wg, all of them) are in codes, and
/// projections ("….weight"), and embeddings in blocks. What a file has in another order than outputs by
/// inputs is not among them.
/// Errors: ValueError for scales that do not fit their codes.
/// Cost:   views of the files, and f32 copies of scales of other types.
KeptCodes kept_codes(const TensorSource& source, const std::vector<Binding>& bindings);

/// Of codes and scales.
int64_t kept_bytes(const std::vector<ops::CodedMatrix>& matrices);

/// To banks, projections and decoders of `model`, by name. Their parameters are empty then.
/// Errors: ValueError for a module that multiplies from no codes.
void keep_codes(torch::nn::Module& model, const KeptCodes& codes);

}  // namespace gw::inline language
