#pragma once
// Option fields that are more than a number or a text: a part with its options, and nested tables.
#include <string>
#include <utility>

#include "gatewright/base/json.h"

namespace gw::inline base {

struct OptionSet;
void parse_options(const std::string& part, const Json& values, OptionSet& options);

/// A part of a catalogue, given as a name ("top_k") or as a table with its name under `part` ({part =
/// "top_k", k = 2}). Without a name it stands for no part, where an option allows that.
struct PartChoice {
  std::string name;
  Json options = Json::object();

  PartChoice() = default;
  /// Errors: ValueError unless it is made of small letters, digits and _.
  PartChoice(const char* part);
  PartChoice(std::string part, Json values) : name(std::move(part)), options(std::move(values)) {}
  /// Errors: as part_choice.
  PartChoice(const Json& choice);
  bool empty() const { return name.empty(); }
  /// The table with the name under `part`; {} without a name.
  Json json() const;
  /// The same as text, the name first.
  std::string text() const;
};

/// Whether `text` can be the name of a part: small letters, digits and _.
bool is_part_name(const std::string& text);
/// Errors: ValueError naming `where` for anything but a name or a table with a name under `part`.
PartChoice part_choice(const std::string& where, const Json& value);

/// A nested table as it was given. Which keys it may have says whoever reads it: the options of a part that
/// another option names, say.
class OptionTable {
 public:
  OptionTable() = default;
  /// Errors: ValueError unless it is an object.
  OptionTable(const Json& table) { read("options", table); }
  OptionTable(const OptionTable&) = default;
  OptionTable& operator=(const OptionTable&) = default;
  virtual ~OptionTable() = default;
  /// Errors: ValueError naming `where`; the table is then as before.
  void read(const std::string& where, const Json& table);
  const Json& json() const { return given_; }
  bool empty() const { return given_.empty(); }

 protected:
  virtual void parse(const std::string&, const Json&) {}

 private:
  Json given_ = Json::object();
};

/// A nested table with options of its own: names, ranges and near misses are checked when it is read, and
/// what is stored of it is what was given.
///
///     Nested<Schedule> schedule;  …  v.table("schedule", schedule, "learning rate over the run");
///     schedule->lr
template <class Options>
class Nested : public OptionTable {
 public:
  Nested() = default;
  Nested(const Json& table) { read("options", table); }
  const Options& operator*() const { return options_; }
  const Options* operator->() const { return &options_; }

 private:
  void parse(const std::string& where, const Json& table) override {
    Options fresh;
    parse_options(where, table, fresh);
    options_ = std::move(fresh);
  }
  Options options_;
};

}  // namespace gw::inline base
