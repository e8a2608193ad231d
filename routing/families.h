#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gw {

/// The router of a published model family, as options of our parts.
struct RouterFamily {
  std::string name;      ///< as checkpoints call their model type
  std::string policy;    ///< JSON table for the policies catalogue, with the published sizes
  int64_t experts = 0;   ///< routed experts of the model the sizes belong to
  bool gate_bias = false;
  std::string beside;    ///< JSON: options of the mixture for what runs beside the routed experts
  std::string source;
};

const std::vector<RouterFamily>& router_families();

/// The family's policy table with some options replaced.
/// Errors: ValueError with the near miss for an unknown family.
nlohmann::json family_policy(const std::string& family, const nlohmann::json& changes = nlohmann::json::object());
/// Options of a whole mixture: the policy, the gate's bias, the number of experts and what runs beside them, some replaced.
nlohmann::json family_mixture(const std::string& family, const nlohmann::json& changes = nlohmann::json::object());

}  // namespace gw
