#pragma once
// Synthetic variations of training images, made by one run and trained on by others.
#include "gatewright/data/batch.h"
#include "gatewright/models/safetensors.h"
#include "gatewright/train/config.h"

namespace gw::inline train {

/// In the directory of the run that made them: "image" [m, C, H, W] uint8, and "source" [m] int64, the
/// training row that each was made of; the header tells of which images.
inline constexpr const char* kVariationsFile = "variations.safetensors";

/// Writes variations of the examples of `train`. Errors: IoError.
void save_variations(const std::string& path, const TensorSet& train, const at::Tensor& images,
                     const at::Tensor& source);
/// The checksum that tells one file of variations from another.
/// Errors: ValueError naming the file for one that is damaged or no such file; IoError.
std::string variations_checksum(const std::string& path);

/// The variations of the examples of `train` at `rows` (undefined: of all): the rows at "source" among those,
/// with the file's images.
/// Errors: as variations_checksum; ValueError for another checksum than the options', and for variations of
///         other training images.
TensorSet with_variations(const TensorSet& train, const VariationOptions& options,
                          const at::Tensor& rows = {});

}  // namespace gw::inline train
