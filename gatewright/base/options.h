#pragma once
// Declared options: one list of fields per part gives recipe parsing, command-line flags, `gatewright list`,
// range errors and near misses.
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/base/option_values.h"

namespace gw::inline base {

/// Visits the fields of an option set; implementations parse, describe or write them.
class OptionVisitor {
 public:
  virtual ~OptionVisitor() = default;
  virtual void integer(const char* name, int64_t& value, const char* help, int64_t lo, int64_t hi) = 0;
  virtual void real(const char* name, double& value, const char* help, double lo, double hi) = 0;
  virtual void flag(const char* name, bool& value, const char* help) = 0;
  /// `choices` empty: any text.
  virtual void text(const char* name, std::string& value, const char* help,
                    std::vector<std::string> choices = {}) = 0;
  virtual void reals(const char* name, std::vector<double>& value, const char* help, double lo,
                     double hi) = 0;
  virtual void texts(const char* name, std::vector<std::string>& value, const char* help) = 0;
  /// Lists of integers, of any lengths.
  virtual void integer_lists(const char* name, std::vector<std::vector<int64_t>>& value, const char* help,
                             int64_t lo, int64_t hi) = 0;
  /// A part with its options; `{}` is no part, where the default is none.
  virtual void part(const char* name, PartChoice& value, const char* help) = 0;
  virtual void parts(const char* name, std::vector<PartChoice>& value, const char* help) = 0;
  /// A nested table: Nested checks what is in it, an OptionTable leaves that to its owner.
  virtual void table(const char* name, OptionTable& value, const char* help) = 0;
};

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Base of every part's options: a plain struct that lists its fields once.
///
///     struct Options : gw::OptionSet {
///       int64_t k = 2;
///       void fields(gw::OptionVisitor& v) override { v.integer("k", k, "experts per token", 1, 4096); }
///     };
struct OptionSet {
  virtual ~OptionSet() = default;
  virtual void fields(OptionVisitor&) {}
};

/// A field as `gatewright list` shows it.
struct OptionInfo {
  std::string name, type, range, default_value, help;
};

/// Fills `options` from a JSON object. Errors: ValueError naming `part`, the key, the value and the near miss
/// or range.
void parse_options(const std::string& part, const Json& values, OptionSet& options);
/// Sets one field from text, as a command line gives it ("k=4").
Json option_from_text(const std::string& part, OptionSet& options, const std::string& key,
                      const std::string& text);
std::vector<OptionInfo> describe_options(OptionSet& options);
/// All fields with their present values: what a run directory stores as the resolved recipe.
Json write_options(OptionSet& options);

}  // namespace gw::inline base
