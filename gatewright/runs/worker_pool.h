#pragma once
// Several runs of a check at a time, each in a process of its own.
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gatewright/base/child_process.h"
#include "gatewright/base/stop.h"

namespace gw::inline runs {

/// A run of a check: an arm with a seed.
struct CheckRun {
  std::string arm;
  int64_t seed = 0;
  bool operator==(const CheckRun&) const = default;
};

/// How a run of a worker ended that left no result. `kind`: the error it would have thrown here, "numeric",
/// "value", "io" or "" (another, or the process died).
struct WorkerFailure {
  CheckRun run;
  std::string kind, why;
};

struct WorkerPoolOptions {
  int64_t jobs = 2;     ///< processes at a time
  int64_t threads = 1;  ///< that a measurement of time may use: all of this process
  std::function<ChildProcess::Command(const CheckRun&)>
      command;                                                  ///< its process ends with a `Worker`'s words
  std::function<std::vector<CheckRun>(const CheckRun&)> after;  ///< the runs that must have ended well before
  Stop stop = {};
  std::FILE* progress = nullptr;
  std::function<double()> now_s;
};

/// Runs them in the order given as far as their sources allow, `jobs` at a time. While one measures times
/// (Worker::alone) the others stand still, and it has all `threads`.
/// A run whose source failed is not started. Returns the failures.
/// Errors: Interrupted after `stop`, when all have saved and ended; IoError where no process can be started.
std::vector<WorkerFailure> run_in_workers(const std::vector<CheckRun>& runs,
                                          const WorkerPoolOptions& options);

/// What a process of the pool tells the one that started it.
class Worker {
 public:
  /// Holds the machine for itself, with all its threads, until the handle is dropped.
  std::shared_ptr<void> alone();
  void failed(const std::string& kind, const std::string& why);

 private:
  ParentLine line_;
};

}  // namespace gw::inline runs
