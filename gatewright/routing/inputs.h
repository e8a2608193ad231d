#pragma once
// What a router may look at beside the tokens, and the tensors that a part keeps between steps.
#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gatewright/base/rng.h"

namespace gw::inline routing {

/// Facts about the tokens of one pass. What no part asks for stays undefined; a part that misses something
/// says its name.
struct RouterInputs {
  std::optional<Rng> rng;     ///< for parts that draw; none: a mixture takes a new stream for each pass, a
                              ///< policy on its own takes Rng(0)
  at::Tensor token_id;        ///< [T] int64, vocabulary ids (hash routing)
  at::Tensor task;            ///< [T] int64, task or domain of each token
  at::Tensor sequence;        ///< [T] int64, the sequence that each token belongs to, ids in [0, T)
  at::Tensor position;        ///< [T, P] real, coordinates
  at::Tensor route;           ///< [T] or [T, K] int64, enforced experts; −1: none
  int64_t step = -1;          ///< training steps done, for what changes over training; −1: not said
  std::optional<bool> train;  ///< training or evaluation; absent: the part's own mode
  at::Tensor scores;  ///< [T, columns] scores that an earlier block made for this one: the gate is not run
};

/// Score of an expert that a token must not see: finite, so that sums and gradients stay finite, and so low
/// that its softmax and sigmoid are exactly zero in f32 and f64. Policies choose no expert below half of it.
inline constexpr double kMaskedScore = -1e9;

/// Tensors with names that outlive a step (selection biases, adaptive coefficients): the mixture saves them
/// as buffers.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Ids [T] int64 in [0, limit), dense; limit < 0: any id that is not negative.
/// Errors: ValueError naming part, field and the first bad value.
at::Tensor required_ids(const char* part, const char* field, const at::Tensor& ids, int64_t tokens,
                        int64_t limit);

/// How many tokens of each sequence stand beside each other, ids [T] int64 dense.
/// Errors: ValueError for a sequence in several pieces.
std::vector<int64_t> neighbours(const char* part, const at::Tensor& sequence);

}  // namespace gw::inline routing
