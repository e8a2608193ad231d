#pragma once
// A model's config.json, read with errors that name the key.
#include <optional>
#include <string>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/language/blocks/rotary.h"

namespace gw::inline language {

/// Keys that are null count as absent.
class ModelConfig {
 public:
  /// `where`: for messages. Errors: ValueError unless it is an object.
  ModelConfig(Json config, std::string where);
  bool has(const std::string& key) const;
  /// Errors: ValueError for another type, a value outside [lo, hi], and an absent key where no default is
  ///         given.
  int64_t integer(const std::string& key, std::optional<int64_t> otherwise = {}, int64_t lo = 0,
                  int64_t hi = int64_t{1} << 32) const;
  double real(const std::string& key, std::optional<double> otherwise = {}) const;
  bool flag(const std::string& key, std::optional<bool> otherwise = {}) const;
  std::string text(const std::string& key, std::optional<std::string> otherwise = {}) const;
  std::vector<double> reals(const std::string& key) const;  ///< empty where absent
  std::vector<std::string> texts(const std::string& key) const;
  /// The object under a key; empty where absent.
  ModelConfig table(const std::string& key) const;
  const Json& json() const { return json_; }
  const std::string& where() const { return where_; }

 private:
  const Json* find(const std::string& key) const;
  [[noreturn]] void refuse(const std::string& key, const std::string& expected) const;
  const Json& need(const std::string& key, const char* what) const;
  Json json_;
  std::string where_;
};

/// A JSON file beside a model, of at most 16 MiB. Errors: IoError; ValueError naming it for anything but an
/// object.
ModelConfig read_config_file(const std::string& path);

/// Both forms of published files: rope_theta with rope_scaling, and rope_parameters. Interleaving is the
/// family's. Errors: ValueError for a kind that Rotary does not know.
Json rotary_of(const ModelConfig& config);

/// Names of activations in published files → our catalogue's.
std::string activation_named(const ModelConfig& config, const std::string& key);

}  // namespace gw::inline language
