#pragma once
// The directory that a run leaves behind: recipe.json, metrics.jsonl, a TensorBoard event file, and the
// documents that the report reads (their schema: gatewright/runs/run_data.h).
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/options.h"
#include "gatewright/runs/tensorboard.h"

namespace gw::inline runs {

inline constexpr const char* kRecipeFile = "recipe.json";
inline constexpr const char* kMetricsFile = "metrics.jsonl";
inline constexpr const char* kEventFile =
    "events.out.tfevents.gatewright";  ///< TensorBoard looks for "tfevents" in the name

/// A run directory that this process owns: a second process that opens it gets an error.
class RunDirectory {
 public:
  struct Options {
    bool resume = false;      ///< continue the run that the directory holds instead of starting one
    bool tensorboard = true;  ///< also write the event file
    /// Seconds since 1970; only the event file's wall times come from it. The library reads no clock: the
    /// program gives one.
    std::function<double()> wall_time_s;
    /// JSON pointers of recipe values that may differ on resume ("/data/root", "/threads"); the stored recipe
    /// stays as it is.
    std::vector<std::string> may_differ;
    /// Writes a stored recipe as this version would, before the two are compared; empty: they compare as they
    /// are.
    std::function<Json(Json)> brought_up = {};
  };

  /// Starts a run in a new or empty directory, or opens the one that is there; `rewind` then says where it
  /// goes on.
  /// Errors: ValueError if the directory holds anything and `resume` is off, if there is no run to resume, if
  ///         the recipe is not the stored one (naming the first difference), or if another process holds the
  ///         directory; IoError if it cannot be written.
  RunDirectory(std::string path, const Json& recipe, Options options);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  /// True if `path` has a recipe.json.
  static bool holds_run(const std::string& path);

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  /// Adds one record to metrics.jsonl and its numbers to the event file, under "<kind>/<field>"; a list
  /// becomes "<kind>/<field>/<i>", one of more than 64 numbers a histogram. Numbers that are not finite are
  /// null in the file. Flushed when it returns. Errors: ValueError unless the record has an integer "step"
  /// and a text "kind".
  void append(const Json& record);

  /// How far metrics.jsonl and the event file reach, for a checkpoint: {"metrics.jsonl": {"bytes", "crc32c"},
  /// …}.
  Json marks();
  /// Goes back to the marks of a checkpoint: a run resumed from it then leaves the same records as one that
  /// was never interrupted. Null marks, of a run without a checkpoint, mean the beginning.
  /// Errors: ValueError, before anything is cut, for a file that no longer begins with what it held then, or,
  ///         with null marks, for one that has records: their checkpoint is lost.
  void rewind(const Json& marks);

  /// Writes a document whole or not at all. Errors: ValueError for a name with a slash; IoError.
  void write_json(const std::string& name, const Json& document);

  /// The event file, or null without TensorBoard: for histograms of weights and the like.
  EventWriter* events() { return events_.get(); }
  double wall_time_s() const { return options_.wall_time_s(); }

 private:
  void lock();
  void start(const Json& recipe);
  void resume(const Json& recipe);
  void open_files();
  void close_files();
  void append_events(const Json& record);

  std::string path_;
  Options options_;
  int lock_ = -1;
  std::unique_ptr<LogFile> metrics_;
  std::unique_ptr<EventWriter> events_;
};

/// The records of a metrics.jsonl; a last line without its newline, or one that does not parse, is left out.
/// Errors: ValueError naming the line for a damaged line before the last; IoError if the file cannot be read.
std::vector<Json> read_records(const std::string& path);

}  // namespace gw::inline runs
