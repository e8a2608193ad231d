#pragma once
#include "gatewright/train/learner.h"

namespace gw::inline train {

/// How well each task of a sequence is told after each: what a learner forgets.
class TaskMatrix {
 public:
  TaskMatrix(const Task& task, Learner& learner) : task_(task), learner_(learner) {}
  /// After a task was learned: answers the test rows of this one and of all before. Errors: ValueError for a
  ///         task without test rows, and for test rows without "domain".
  void add(const TaskData& data, int64_t domain, const Rng& rng);
  /// As gatewright/train/prequential.h says.
  void leave(std::map<std::string, double>& metrics, std::map<std::string, ValueTable>& tables) const;

 private:
  double accuracy(const TaskData& data, int64_t domain, const Rng& rng) const;
  const Task& task_;
  Learner& learner_;
  std::vector<int64_t> met_;
  std::vector<std::vector<double>> after_;  ///< [tasks met][tasks before and itself]
  std::vector<std::string> names_;
};

}  // namespace gw::inline train
