#pragma once
// What an arm of a recipe may be: a training, a statistical experiment, or another kind of run that is one
// file in gatewright/runs/arms/.
#include <cstdio>
#include <functional>
#include <memory>

#include "gatewright/base/registry.h"
#include "gatewright/base/stop.h"
#include "gatewright/runs/run_data.h"
#include "gatewright/runs/run_directory.h"
#include "gatewright/train/check.h"

namespace gw::inline runs {

inline constexpr const char* kSummaryFile = "metrics.json";  ///< {"config", "metrics"}: a finished run

/// How and where one arm runs with one seed.
struct ArmRun {
  std::string directory;
  bool resume = false;
  Stop stop = {};                 ///< requested: the arm saves what it can go on from, and throws Interrupted
  std::FILE* progress = nullptr;  ///< null: silent
  std::function<double()> now_s, wall_time_s;  ///< steady clock and seconds since 1970
  int64_t timing_rounds = 30;                  ///< 0: no timings
  About about = {};                            ///< written to about.json by the first start of the run
  /// Called before times are measured; nothing else of this check runs until what it returns is dropped.
  std::function<std::shared_ptr<void>()> alone = {};
};

/// What an arm starts from: the directory of another arm's finished run with the same seed.
struct Artefact {
  std::string arm, directory;
};

/// A column of the table that a check prints.
struct ResultColumn {
  enum class Shown { kNumber, kPercent, kMacs };
  std::string heading;
  std::string metric;  ///< "*" in it stands for the row's quantity
  Shown shown = Shown::kNumber;
  std::string format = "{:.3g}";  ///< of kNumber
  bool operator==(const ResultColumn&) const = default;
};
struct ResultTable {
  std::vector<ResultColumn> columns;
  std::vector<std::string> quantities = {};  ///< a row each; empty: one row for the arm
  std::string note = {};                     ///< below the table
};

/// One arm with one seed. Parts: catalogue `gatewright/runs/arms/`. Their options are the arm's table as the
/// recipe resolves it (with "name", "arm" and "seed").
class Arm {
 public:
  static constexpr const char* kKind = "arms";
  struct Context {
    std::string name;  ///< of the arm
  };
  virtual ~Arm() = default;

  /// Refuses what can be refused before anything runs; `from` are the arms that it starts from, in the
  /// recipe's order. Errors: ValueError. Cost: seconds at most, no data.
  virtual void validate(const std::vector<const Arm*>& from) const = 0;
  /// Runs, or goes on if `run.resume`; a finished run of the same table is read and not run again.
  /// Errors: of any kind; the arms that start from this one are then not run.
  virtual ArmResult run(const ArmRun& run, const std::vector<Artefact>& from) const = 0;
  virtual LeftNames leaves() const = 0;
  virtual ResultTable shown() const = 0;
};

/// The kind that a resolved table asks for where the recipe names none: the part of the catalogue that has a
/// table of its own name in it, else a training.
std::string arm_kind(const Json& table);

/// The arm of a recipe at one size with one seed. Errors: ValueError for unknown names, kinds, keys, or
/// values out of range.
std::shared_ptr<Arm> make_arm(const Recipe& recipe, const std::string& arm, const std::string& size,
                              int64_t seed, const std::vector<std::string>& overrides = {});
/// The arm of a run directory's recipe.json, for going on with it. `where` names it in errors.
std::shared_ptr<Arm> make_arm(const Json& table, const std::string& where);

/// The metrics of a finished run of `config`, from its metrics.json; nothing if the directory holds none, or
/// one of another configuration. Errors: ValueError for a damaged file, naming it.
std::optional<std::map<std::string, double>> finished_metrics(const std::string& directory,
                                                              const Json& config);

/// Writes about.json, unless nobody said anything or the run has one: a resumed run keeps where it came from.
void note_origin(RunDirectory& directory, const About& about);

}  // namespace gw::inline runs
