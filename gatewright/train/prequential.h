#pragma once
// A stream, evaluated prequentially: every window is answered first and learned then.
#include "gatewright/base/stop.h"
#include "gatewright/train/learner.h"

namespace gw::inline train {

struct StreamOptions : OptionSet {
  int64_t window = 200, horizon = 1000, passes = 1, trials = 1;
  bool tasks = false;
  OptionTable parts;
  void fields(OptionVisitor& v) override;
};

/// Windows [first, end) of a stream, by name.
struct StreamPart {
  std::string name;
  int64_t first = 0, end = 0;
};
/// The table `parts` of the options: {before = [30, 50], after = [65, 100]}. Errors: ValueError for anything
/// else than two ascending whole numbers.
std::vector<StreamPart> stream_parts(const StreamOptions& options);

struct StreamOutcome {
  std::map<std::string, double> metrics;
  std::map<std::string, Curve> curves;
  std::map<std::string, ValueTable> tables;
};

/// Answers and teaches window by window (gatewright/data/stream.h); the learner has begun.
/// Metrics: what the task measures of all answers, under its own name, and of the windows of a part under
///   "<measure>.<part>"; what the learner reports at the end, and at the end of a part under
///   "<value>.<part>". alarms        windows at which it said that the stream has changed drifts changes of
///   the field "domain", where the change is known false_alarms  alarms before the first drift; of a stream
///   without drifts all delay, missed the mean number of windows from a drift to the first alarm, 1: in the
///   window that has it;
///                 and the drifts without one before the next. Absent without drifts or alarms
///   of tasks: the windows above are those of the first pass, and after each task the test rows of all tasks
///   that were met are answered: final_accuracy, mean over all tasks after the last; learned_accuracy, mean
///   of each task right after it; forgetting, the mean of what the tasks before the last lost since;
///   first_forgotten, what the first lost; and the table "forgetting", accuracy of a task after each task.
/// Curves over the windows: the task's measures on the last `horizon` rows, the learner's values.
/// Errors: those of stream_windows; ValueError for parts outside the stream; Interrupted.
/// Cost:   the learner's, and the answers are kept.
StreamOutcome run_stream(const TaskData& data, const Task& task, Learner& learner,
                         const StreamOptions& options, const Rng& rng, const Tick& tick = {},
                         const Stop& stop = {});

/// Names of what a run of such a stream may leave.
struct StreamNames {
  std::vector<std::string> metrics, curves, tables;
};
StreamNames stream_names(const Task& task, const Learner& learner, const StreamOptions& options);

}  // namespace gw::inline train
