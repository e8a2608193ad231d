#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "apps/cli/command.h"
#include "gatewright/base/shown.h"
#include "gatewright/ops/activation_function.h"
#include "gatewright/routing/families.h"
#include "gatewright/train/compatible.h"

namespace gw {
namespace {

constexpr const char* kActivations = "activations";

/// What a catalogue says of its parts beside what all have.
std::vector<std::pair<std::string, std::string>> notes(const PartInfo& part) {
  if (part.kind != kActivations) return {};
  return ops::activation_notes(part.name);
}

Json to_json(const PartInfo& part) {
  Json options = Json::array();
  for (const auto& option : part.options) {
    options.push_back({{"name", option.name},
                       {"type", option.type},
                       {"range", option.range},
                       {"default", option.default_value},
                       {"help", option.help}});
  }
  Json json{{"kind", part.kind}, {"name", part.name},     {"summary", part.summary}, {"source", part.source},
            {"file", part.file}, {"traits", part.traits}, {"options", options}};
  for (const auto& [note, text] : notes(part)) json[note] = text;
  return json;
}

void print_part(const PartInfo& part) {
  fmt::print("  {}  ({})\n      {}\n", part.name, part.file, part.summary);
  if (!part.source.empty()) fmt::print("      source: {}\n", part.source);
  if (!part.traits.empty()) fmt::print("      traits: {}\n", fmt::join(part.traits, ", "));
  for (const auto& [note, text] : notes(part)) {
    if (!text.empty()) fmt::print("      {}: {}\n", note, text);
  }
  for (const auto& option : part.options) {
    fmt::print("      {} = {}  ({}{}{})  {}\n", option.name,
               option.default_value.empty() ? "\"\"" : option.default_value, option.type,
               option.range.empty() ? "" : ", ", option.range, option.help);
  }
}

constexpr const char* kFamilies = "families";

/// The routers of published models, as if they were parts: a recipe names the policy that the summary holds.
std::vector<PartInfo> families() {
  std::vector<PartInfo> out;
  for (const auto& family : router_families()) {
    PartInfo info;
    info.kind = kFamilies, info.name = family.name, info.source = family.source,
    info.file = "gatewright/routing/families.cpp";
    info.summary = fmt::format("policy {}, {} experts{}", family.policy, family.experts,
                               family.gate_bias ? ", a gate with bias" : "");
    info.summary += ", experts " + family.bank;
    if (family.beside != "{}") info.summary += ", beside them " + family.beside;
    out.push_back(info);
  }
  return out;
}

/// One line per catalogue and its names, wrapped: all options of all parts are 865 lines, which nobody reads.
void print_overview(const std::vector<PartInfo>& parts) {
  constexpr size_t kWidth = 100, kIndent = 14;
  std::map<std::string, std::vector<std::string>> names;
  for (const auto& part : parts) names[part.kind].push_back(part.name);
  names.erase(Command::kKind);  // no recipe can name one; `gatewright --help` lists them
  for (const auto& family : families()) names[kFamilies].push_back(family.name);
  for (const auto& [kind, list] : names) {
    std::string line = fmt::format("{:<{}}", kind, kIndent);
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string word = list[i] + (i + 1 < list.size() ? ", " : "");
      if (line.size() + word.size() > kWidth) {
        fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
        line = std::string(kIndent, ' ');
      }
      line += word;
    }
    fmt::print("{}\n", line);
  }
  fmt::print(
      "\nOptions, ranges and sources of one catalogue: gatewright list gates. Everything: gatewright list "
      "--json\n");
}

/// Prints the catalogues: what a recipe can name, with the options each part takes.
class ListCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "List the catalogues and their parts; of one catalogue all options.";

  const char* example() const override { return "gatewright list gates"; }

  void declare(CLI::App& app) override {
    app.add_option("kind", kind_,
                   "a catalogue (gates, policies, balancers, datasets, …) with its options; families: "
                   "published models as options");
    app.add_option("--compatible", compatible_,
                   "what goes with this gate, policy, balancer or bank, tried out: policies/hash")
        ->type_name("PART");
    app.add_flag("--json", json_, "print JSON");
  }

  int run() override {
    if (!compatible_.empty()) return print_pairings();
    const auto parts = kind_ == kFamilies ? families() : Registry::instance().list(kind_);
    if (json_) {
      Json all = Json::array();
      for (const auto& part : parts) all.push_back(to_json(part));
      fmt::print("{}\n", all.dump(2));
      return 0;
    }
    if (kind_.empty()) {
      print_overview(parts);
      return 0;
    }
    std::string kind;
    for (const auto& part : parts) {
      if (part.kind != kind) fmt::print("{}{}\n", kind.empty() ? "" : "\n", part.kind);
      kind = part.kind;
      print_part(part);
    }
    if (kind_ == "policies")
      fmt::print("\nRouters of published models are options of these: gatewright list {}\n", kFamilies);
    return 0;
  }

 private:
  int print_pairings() const {
    const auto pairings = pairings_of(compatible_);
    Json all = Json::array();
    for (const auto& pairing : pairings) {
      all.push_back(
          {{"with", pairing.with}, {"compatible", pairing.refusal.empty()}, {"why_not", pairing.refusal}});
      if (!json_)
        fmt::print("{:<40} {}\n", pairing.with,
                   pairing.refusal.empty() ? "yes" : "no: " + shown(pairing.refusal));
    }
    if (json_) fmt::print("{}\n", all.dump(2));
    return 0;
  }

  std::string kind_, compatible_;
  bool json_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, ListCommand);
