#pragma once
// A composed team of programs in a file: experts, what the router knows, and scores.
#include "gatewright/runs/composition_trials.h"

namespace gw::inline runs {

/// What `gatewright compose` leaves and `gatewright ask` takes up.
struct Team {
  TeamOptions options;
  std::vector<std::string> names;       ///< of the experts, in the order of the scores
  std::vector<std::string> categories;  ///< in the order of the rows
  std::vector<Question> known;          ///< the router's questions, without answers
  ScoreTable table;
  std::vector<double> alone;  ///< mean quality of each expert by itself over the scored questions
};

struct ComposeRun {
  double router_share = 0.5;
  int64_t seed = 0;
  Stop stop = {};
  Tick tick = {};
};
/// Reads the questions of `options`, asks every expert about `1 − router_share` of them, and scores.
/// Errors: ValueError as split_questions and best_map, and where no expert answers anything; Interrupted.
Team compose_team(const TeamOptions& options, const ComposeRun& run);

/// The options of a TOML file {experts, questions, budget …}; paths of questions and of "data:" words are
/// found as data files are. Errors: IoError, ValueError naming the file.
TeamOptions read_team_options(const std::string& path);

void write_team(const std::string& path, const Team& team);
/// Errors: IoError; ValueError naming the file for a damaged one. It names programs that asking will start:
/// read none that you would not run.
Team read_team(const std::string& path);

/// A team that answers. A thread of its own asks (train/composition.h).
class AskedTeam {
 public:
  /// Errors: as Composition, and IoError for data files that are not there.
  explicit AskedTeam(const Team& team);
  AskedTeam(const AskedTeam&) = delete;
  AskedTeam& operator=(const AskedTeam&) = delete;
  ComposedReply ask(const std::string& text) { return composed_.ask(text); }
  const Composition& composition() const { return composed_; }

 private:
  std::vector<ProgramExpert> experts_;
  CategoryRouter router_;
  Composition composed_;
};

}  // namespace gw::inline runs
