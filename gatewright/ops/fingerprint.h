#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace gw::ops {

/// 64 bits that tell one state of the tensors from another: their values, shapes and dtypes. What is computed
/// from weights and kept (folded convolutions, packed panels) is kept under this. Version counters do not do:
/// torch::optim::SGD and whoever else writes through data() leaves them as they are, and inference tensors
/// have none.
/// Undefined tensors count as such; strides count as part of the shape. A changed value goes unseen with
/// probability 2^-60 or less.
/// Cost: one read of the tensors, at the rate of a loop that only reads, by blocks of 64 KiB over the
///       threads; the same number for any
/// number of threads.
/// Source: the folded product of wyhash (Wang 2019); the mixing round of XXH64 (Collet 2014) over the lanes.
uint64_t fingerprint(const std::vector<at::Tensor>& tensors);

}  // namespace gw::ops
