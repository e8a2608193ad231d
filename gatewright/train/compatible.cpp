#include "gatewright/train/compatible.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/trainer.h"

namespace gw::inline train {
namespace {

/// Catalogues of a mixture's parts, and what each is called among its options.
const std::vector<std::pair<std::string, std::string>>& slots() {
  static const std::vector<std::pair<std::string, std::string>> all{
      {"gates", "gate"}, {"policies", "policy"}, {"balancers", "balancers"}, {"banks", "bank"}};
  return all;
}

void put(Json& mixture, const std::string& option, const std::string& name) {
  mixture[option] = option == "balancers" ? Json::array({name}) : Json{{"part", name}};
}

/// The error's words, or nothing.
std::string refusal_of(const TrainConfig& config) {
  try {
    check_config(config);
    return "";
  } catch (const Error& error) {
    return error.what();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
}

/// Some parts work for two experts only: what four refuse is tried with two.
std::string refusal_on_tokens(Json mixture) {
  TrainConfig config;
  config.task = "classification", config.data = "bytes", config.objective = "natural";
  std::string first;
  for (const int64_t experts : {4, 2}) {
    mixture["experts"] = experts;
    config.network = Json{{"part", "token_mixer"}, {"width", 24}, {"depth", 1}, {"mixture", mixture}};
    const auto refusal = refusal_of(config);
    if (refusal.empty()) return "";
    if (first.empty()) first = refusal;
  }
  return first;
}

std::string refusal_on_images(const std::string& option, const std::string& name, const char* routing) {
  TrainConfig config;
  Json network{{"experts", 2}, {"ratio", 0.5}, {"routing", routing}};
  if (std::string_view(routing) == "layer") network["gate"] = {{"part", "pooled_linear"}};
  network[option] = {{"part", name}};
  config.network = network;
  return refusal_of(config);
}

}  // namespace

std::vector<Pairing> pairings_of(const std::string& part) {
  const auto slash = part.find('/');
  std::vector<std::string> kinds;
  for (const auto& slot : slots()) kinds.push_back(slot.first);
  const auto kind = part.substr(0, slash);
  const auto own =
      std::find_if(slots().begin(), slots().end(), [&](const auto& slot) { return slot.first == kind; });
  GW_CHECK(slash != std::string::npos && own != slots().end(),
           "list: expected a part of a mixture as catalogue/name (policies/hash), got \"{}\"{}",
           part.substr(0, 100), near_miss(kind, kinds));
  const auto name = part.substr(slash + 1);
  Registry::instance().info(kind, name);  // refuses what it does not know
  std::vector<Pairing> out;
  for (const auto& [other, option] : slots()) {
    if (other == kind) continue;
    for (const auto& candidate : Registry::instance().list(other)) {
      Json mixture = Json::object();
      put(mixture, own->second, name), put(mixture, option, candidate.name);
      out.push_back({other + "/" + candidate.name, refusal_on_tokens(mixture)});
    }
  }
  if (kind != "gates" && kind != "policies") return out;
  out.push_back({"networks/image, one decision per image", refusal_on_images(own->second, name, "image")});
  out.push_back({"networks/image, one decision per layer", refusal_on_images(own->second, name, "layer")});
  return out;
}

}  // namespace gw::inline train
