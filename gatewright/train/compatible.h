#pragma once
#include <string>
#include <vector>

namespace gw::inline train {

/// How a router part goes with one other part, or with an image network.
struct Pairing {
  std::string with;     ///< "gates/cosine", "networks/image, one decision per image"
  std::string refusal;  ///< empty: they go together; else the error of the first part that refuses
};

/// The part "policies/hash" (a gate, policy, balancer or bank) with every part of the other three catalogues,
/// the rest at defaults, each pair built and run once on noise through `networks/token_mixer`; a gate or
/// policy also with an image network.
/// Errors: ValueError with the near miss for an unknown part, or one of another catalogue.
/// Cost:   a network of width 24 and one pass of 64 tokens for each pair: some milliseconds.
std::vector<Pairing> pairings_of(const std::string& part);

}  // namespace gw::inline train
