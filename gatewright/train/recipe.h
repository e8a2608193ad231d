#pragma once
#include <map>
#include <string>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/train/config.h"
#include "gatewright/train/mark.h"

namespace gw::inline train {

/// A paper as data: its parts, arms, sizes, claims and marks.
struct Recipe {
  std::string name, path;
  Json document;  ///< the whole file
  std::vector<std::string> arms, sizes;
  std::vector<Mark> marks;

  /// The kind of run that the arm names (catalogue of arms), "" where it leaves that to its table.
  std::string kind(const std::string& arm) const;
  /// The arms whose results it starts from: from = "other", or a list.
  std::vector<std::string> sources(const std::string& arm) const;
  /// The given arms and all that they start from, sources first; otherwise in the given order.
  /// Errors: ValueError for an unknown arm, and for a cycle, naming it.
  std::vector<std::string> in_order(const std::vector<std::string>& wanted) const;
  /// The arms that a check of this size runs where nobody names some: those of its list `arms`, else all.
  /// Errors: ValueError for an unknown size and for a list that is none of arms.
  std::vector<std::string> arms_at(const std::string& size) const;
  /// Seeds of a size. Errors: ValueError for an unknown size (with the near miss).
  std::vector<int64_t> seeds(const std::string& size) const;
  /// The options of one arm at one size with one seed, still to be read by its kind (gatewright/runs/arm.h):
  /// defaults ← size ← arm ← arm at that size ← overrides ("epochs=3", "objective.beta=1").
  /// Errors: ValueError for unknown names and for overrides that are no key=value.
  Json merged(const std::string& arm, const std::string& size, int64_t seed,
              const std::vector<std::string>& overrides = {}) const;
};

/// Applies one "key.key=value" to a table; a value that is no JSON is text. Errors: ValueError without "=".
void merge_override(Json& table, const std::string& text);

/// Reads recipes/<name>.toml, or a path that ends in .toml.
/// Errors: ValueError for an unknown name (with the near miss), with line and column for malformed TOML, for
///         unknown keys, for arms that start from an unknown arm or from each other in a circle, and for
///         marks that name an unknown arm or size or have no bound; IoError for a path that cannot be read.
Recipe load_recipe(const std::string& name_or_path, const std::vector<std::string>& folders);

}  // namespace gw::inline train
