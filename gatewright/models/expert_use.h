#pragma once
// What gates that leave nobody out gave to each expert, and what the experts answered.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace gw::inline models {

/// Of one batch. Such gates choose nobody, so that there is no routing plan to look at: what tells a used
/// expert from a dead one are its weights and its answers.
struct ExpertUse {
  struct Gate {
    std::string name;
    std::vector<int64_t> experts;  ///< those that it sees, by their places in ExpertUse::experts
    std::vector<int64_t> own;      ///< those of them that no other gate of its level sees
    at::Tensor weight;             ///< [B, experts]; rows add up to 1, to more with a residual path
  };
  std::vector<std::string> experts;  ///< names, unique
  std::vector<at::Tensor> answers;   ///< of each expert, [B, width of its level]
  std::vector<Gate> gates;
};

}  // namespace gw::inline models
