#include "gatewright/train/prequential.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/error.h"
#include "gatewright/data/stream.h"
#include "gatewright/train/task_matrix.h"

namespace gw::inline train {
namespace {

/// The windows of a first pass, with what was said of them.
class Told {
 public:
  explicit Told(const Task& task) : task_(task) {}

  void add(const Answered& answered) { windows_.push_back({{answered.output.answer, {}}, answered.batch}); }
  int64_t size() const { return static_cast<int64_t>(windows_.size()); }

  /// What the task measures of the windows [first, end) at once.
  std::map<std::string, double> measured(int64_t first, int64_t end) const {
    const at::NoGradGuard no_grad;
    const auto all = between(first, end);
    auto values = task_.measure(all.output, all.batch, task_.loss(all.output, all.batch).item<double>());
    task_.finish(values);
    return values;
  }

  /// The first window of those up to `last` that together hold at least `rows` rows.
  int64_t back(int64_t last, int64_t rows) const {
    int64_t first = last + 1;
    while (first > 0 && rows > 0) rows -= windows_[static_cast<size_t>(--first)].batch.size();
    return first;
  }

  Answered between(int64_t first, int64_t end) const {
    return joined({windows_.begin() + first, windows_.begin() + end});
  }

 private:
  const Task& task_;
  std::vector<Answered> windows_;
};

void add_point(Curve& curve, int64_t window, double value) {
  curve.axis = "window", curve.x.push_back(static_cast<double>(window)), curve.y.push_back(value);
}

/// Alarms beside the drifts that are known, both as windows.
void judge_alarms(const std::vector<int64_t>& alarms, const std::vector<int64_t>& drifts, int64_t windows,
                  std::map<std::string, double>& metrics) {
  const auto count = [](size_t n) { return static_cast<double>(n); };
  const int64_t first = drifts.empty() ? windows : drifts[0];
  metrics["alarms"] = count(alarms.size()), metrics["drifts"] = count(drifts.size());
  metrics["false_alarms"] = count(static_cast<size_t>(
      std::count_if(alarms.begin(), alarms.end(), [&](int64_t at) { return at < first; })));
  if (drifts.empty()) return;
  double sum = 0;
  size_t found = 0;
  for (size_t d = 0; d < drifts.size(); ++d) {
    const int64_t end = d + 1 < drifts.size() ? drifts[d + 1] : windows;
    const auto at = std::lower_bound(alarms.begin(), alarms.end(), drifts[d]);
    if (at != alarms.end() && *at < end) ++found, sum += static_cast<double>(*at - drifts[d] + 1);
  }
  metrics["missed"] = count(drifts.size() - found);
  if (found > 0) metrics["delay"] = sum / count(found);
}

/// One run over one stream.
class Run {
 public:
  Run(const TaskData& data, const Task& task, Learner& learner, const StreamOptions& options, const Rng& rng)
      : data_(data),
        task_(task),
        learner_(learner),
        options_(options),
        rng_(rng),
        windows_(stream_windows(data.train, options.window, options.tasks, options.passes, rng)),
        told_(task),
        matrix_(task, learner) {}

  StreamOutcome all(const Tick& tick, const Stop& stop) {
    const auto total = static_cast<int64_t>(windows_.size());
    for (const auto& part : stream_parts(options_))
      GW_CHECK(part.end <= total, "stream: expected part \"{}\" within {} windows, got one to {}", part.name,
               total, part.end);
    for (int64_t w = 0; w < total; ++w) {
      if (stop.requested()) throw Interrupted("interrupted on a stream; nothing is kept of this arm");
      one(w);
      if (tick) tick(w + 1, total);
    }
    finish();
    return std::move(out_);
  }

 private:
  void one(int64_t w) {
    const auto& window = windows_[static_cast<size_t>(w)];
    const auto rng = rng_.fork("window", static_cast<uint64_t>(w));
    const auto batch = window_batch(data_.train, window);
    const auto answered = learner_.answer(batch, rng.fork("answer"));
    if (window.pass == 0) {
      told_.add(answered);
      if (told_.size() == 1 || domain_ != window.domain) note_drift();
      domain_ = window.domain;
      const int64_t last = told_.size() - 1;
      for (const auto& [name, value] : told_.measured(told_.back(last, options_.horizon), last + 1))
        add_point(out_.curves[name], last, value);
    }
    const auto news = learner_.learn(answered, {w, window.domain, window.last, rng.fork("learn")});
    if (news.alarm && window.pass == 0) alarms_.push_back(told_.size() - 1);
    for (const auto& [name, value] : news.values) add_point(out_.curves[name], w, value);
    for (const auto& part : stream_parts(options_)) {
      if (part.end != w + 1) continue;
      for (const auto& [name, value] : news.values) out_.metrics[name + "." + part.name] = value;
    }
    for (const auto& [name, value] : news.values) out_.metrics[name] = value;
    if (options_.tasks && window.last) matrix_.add(data_, window.domain, rng.fork("tested"));
  }

  /// A change of domain is known to the evaluation, not to the learner.
  void note_drift() {
    if (told_.size() > 1) drifts_.push_back(told_.size() - 1);
  }

  void finish() {
    out_.metrics.merge(told_.measured(0, told_.size()));
    for (const auto& part : stream_parts(options_)) {
      for (const auto& [name, value] : told_.measured(part.first, std::min(part.end, told_.size())))
        out_.metrics[name + "." + part.name] = value;
    }
    judge_alarms(alarms_, drifts_, told_.size(), out_.metrics);
    const int64_t last = told_.size();
    out_.tables = learner_.tables(told_.between(told_.back(last - 1, options_.horizon), last).batch);
    if (options_.tasks) matrix_.leave(out_.metrics, out_.tables);
  }

  const TaskData& data_;
  const Task& task_;
  Learner& learner_;
  const StreamOptions& options_;
  Rng rng_;
  std::vector<StreamWindow> windows_;
  Told told_;
  TaskMatrix matrix_;
  int64_t domain_ = -1;
  std::vector<int64_t> alarms_, drifts_;
  StreamOutcome out_;
};

}  // namespace

void StreamOptions::fields(OptionVisitor& v) {
  v.integer("window", window, "rows that are answered, then learned", 1, 100000000);
  v.integer("horizon", horizon, "rows over which curves are measured", 1, 100000000);
  v.flag("tasks", tasks, "the domains are tasks, one after the other, and all are tested after each");
  v.integer("passes", passes, "how often the rows of a task are met; measured is the first time", 1, 100000);
  v.integer("trials", trials, "streams of other seeds of the data, over which metrics are means", 1, 100000);
  v.table("parts", parts, "windows to be measured apart: {before = [30, 50], after = [65, 100]}");
}

std::vector<StreamPart> stream_parts(const StreamOptions& options) {
  std::vector<StreamPart> out;
  for (const auto& [name, range] : options.parts.json().items()) {
    const bool two =
        range.is_array() && range.size() == 2 && range[0].is_number_integer() && range[1].is_number_integer();
    GW_CHECK(two && is_part_name(name),
             "stream: expected parts of two whole numbers, {{before = [30, 50]}}, got \"{}\"", name);
    out.push_back({name, range[0].get<int64_t>(), range[1].get<int64_t>()});
    GW_CHECK(out.back().first >= 0 && out.back().end > out.back().first,
             "stream: expected a part \"{}\" of windows that ascend from 0, got [{}, {}]", name,
             out.back().first, out.back().end);
  }
  return out;
}

StreamOutcome run_stream(const TaskData& data, const Task& task, Learner& learner,
                         const StreamOptions& options, const Rng& rng, const Tick& tick, const Stop& stop) {
  return Run(data, task, learner, options, rng).all(tick, stop);
}

StreamNames stream_names(const Task& task, const Learner& learner, const StreamOptions& options) {
  StreamNames names;
  for (const auto& list : {task.measures(), learner.reports()}) {
    for (const auto& name : list) {
      names.metrics.push_back(name), names.curves.push_back(name);
      for (const auto& part : stream_parts(options)) names.metrics.push_back(name + "." + part.name);
    }
  }
  for (const char* name : {"alarms", "drifts", "false_alarms", "delay", "missed"})
    names.metrics.push_back(name);
  names.tables = learner.table_names();
  if (options.tasks) {
    for (const char* name : {"final_accuracy", "learned_accuracy", "forgetting", "first_forgotten"})
      names.metrics.push_back(name);
    names.tables.push_back("forgetting");
  }
  return names;
}

}  // namespace gw::inline train
