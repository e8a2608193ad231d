#pragma once
#include <string>
#include <vector>

#include "gatewright/base/json.h"

namespace gw::inline routing {

/// A published model family, as options of our parts: its router, and the experts with what runs beside them.
struct RouterFamily {
  std::string name;     ///< as checkpoints call their model type
  std::string policy;   ///< JSON table for the policies catalogue, with the published sizes
  int64_t experts = 0;  ///< routed experts of the model the sizes belong to
  bool gate_bias = false;
  std::string bank;    ///< JSON: options of banks/mlp for the routed experts, with the published width
  std::string beside;  ///< JSON: options of the mixture for what runs beside the routed experts
  std::string source;
};

const std::vector<RouterFamily>& router_families();

/// The family's policy table with some options replaced.
/// Errors: ValueError with the near miss for an unknown family.
Json family_policy(const std::string& family, const Json& changes = Json::object());
/// Options of a whole mixture: the policy, the gate's bias, the experts and what runs beside them. "in", the
/// width of a token, is the caller's. `changes` are merged into the tables: {"in": 64, "policy": {"k": 4},
/// "bank": {"hidden": 96}} changes these three; a table that names another part replaces the family's. Shared
/// experts without a table of their own are like the routed ones.
Json family_mixture(const std::string& family, const Json& changes = Json::object());

}  // namespace gw::inline routing
