#pragma once
// Who learns from a stream: asked first, then told.
#include <map>

#include "gatewright/train/curve.h"
#include "gatewright/train/watched_task.h"

namespace gw::inline train {

/// A network that was trained elsewhere.
struct TrainedModel {
  std::string name;  ///< of the arm that trained it
  std::shared_ptr<Model> model;
};

/// What a learner is given before the stream begins. Everything outlives it.
struct LearnerSetup {
  const TrainConfig& config;
  const TaskData& data;  ///< for what the model must know of it; its rows come window by window
  const Task& task;
  std::vector<TrainedModel> models = {};
};

/// Where a stream is. Learners that know tasks only from what they see do not look at `task`.
struct StreamMoment {
  int64_t window = 0;
  int64_t task = -1;  ///< the domain of the window; −1: none is known
  bool last_of_task = false;
  Rng rng{0};  ///< of this window
};

/// What a learner says after a window.
struct LearnerNews {
  std::map<std::string, double> values;  ///< those of `reports`: its state, as curves over the windows
  bool alarm = false;                    ///< it believes that the stream has changed
};

/// Catalogue `gatewright/train/learners/`.
class Learner {
 public:
  static constexpr const char* kKind = "learners";
  struct Context {};
  virtual ~Learner() = default;

  /// Before anything else. Errors: ValueError for data, models and tasks that it cannot work with.
  virtual void begin(const LearnerSetup& setup) = 0;
  /// The answer to rows whose labels it has not seen; changes nothing. `rng`: for what draws.
  virtual Answered answer(const Batch& batch, const Rng& rng) = 0;
  /// The window with its labels, as `answer` answered it.
  virtual LearnerNews learn(const Answered& answered, const StreamMoment& moment) = 0;
  /// Names of the values of its news, known before the stream begins.
  virtual std::vector<std::string> reports() const { return {}; }
  /// What it shows at the end, by name; `rows`: the last ones of the stream.
  virtual std::map<std::string, ValueTable> tables(const Batch& /*rows*/) { return {}; }
  virtual std::vector<std::string> table_names() const { return {}; }
  /// How many trained networks it starts from.
  virtual int64_t least_models() const { return 0; }
  virtual int64_t most_models() const { return 0; }
};

}  // namespace gw::inline train
