#include "gatewright/runs/worker_pool.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <deque>

#include "gatewright/base/check.h"
#include "gatewright/base/json.h"
#include "gatewright/runs/progress.h"

namespace gw::inline runs {
namespace {

// Lines of a worker: these words, or {"kind", "why"} of the failure. The answer to the first is a number of
// threads.
constexpr const char* kAlone = "alone";
constexpr const char* kTogether = "together";
// Cells of the reason why a run failed, at most: a line must not exceed 64 KiB.
constexpr int kLongestReason = 4096;

struct Running {
  CheckRun run;
  std::unique_ptr<ChildProcess> process;
  std::string failure = {};  ///< the worker's words
  bool waits_alone = false;
};

bool holds(const std::vector<CheckRun>& runs, const CheckRun& run) {
  return std::find(runs.begin(), runs.end(), run) != runs.end();
}

class Pool {
 public:
  Pool(const std::vector<CheckRun>& runs, const WorkerPoolOptions& options)
      : options_(options),
        waiting_(runs.begin(), runs.end()),
        total_(runs.size()),
        begun_s_(options.now_s()) {}

  std::vector<WorkerFailure> run() {
    while (true) {
      if (options_.stop.requested()) end_all();
      start_what_can();
      if (running_.empty()) return failures_;
      listen();
      reap();
      let_one_alone();
    }
  }

 private:
  /// Whether a run may start, must wait, or never can.
  enum class State { kReady, kWaits, kNever };
  State state_of(const CheckRun& run) const {
    for (const auto& source : options_.after(run)) {
      if (holds(dropped_, source)) return State::kNever;
      const bool runs =
          std::any_of(running_.begin(), running_.end(), [&](const Running& r) { return r.run == source; });
      if (runs || std::find(waiting_.begin(), waiting_.end(), source) != waiting_.end()) return State::kWaits;
    }
    return State::kReady;
  }

  void start_what_can() {
    for (auto next = waiting_.begin(); next != waiting_.end() && alone_ == nullptr;) {
      const auto state = state_of(*next);
      if (state == State::kNever) {
        dropped_.push_back(*next);
        next = waiting_.erase(next);
      } else if (state == State::kReady && running_.size() < static_cast<size_t>(options_.jobs)) {
        running_.push_back({*next, std::make_unique<ChildProcess>(options_.command(*next))});
        next = waiting_.erase(next);
      } else {
        ++next;
      }
    }
  }

  void listen() {
    std::vector<pollfd> lines;
    for (const auto& running : running_) lines.push_back({running.process->line(), POLLIN, 0});
    ::poll(lines.data(), lines.size(), 200);  // ms: how late a request to stop is seen
    for (size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].revents == 0) continue;
      for (const auto& text : running_[i].process->received()) heard(running_[i], text);
      if ((lines[i].revents & POLLHUP) != 0) ended_.push_back(running_[i].run);
    }
  }

  void heard(Running& from, const std::string& text) {
    if (text == kAlone)
      from.waits_alone = true;
    else if (text == kTogether)
      together();
    else
      from.failure = text;
  }

  void together() {
    alone_ = nullptr;
    for (auto& running : running_) running.process->resume();
  }

  void let_one_alone() {
    if (alone_ != nullptr) return;
    const auto first =
        std::find_if(running_.begin(), running_.end(), [](const Running& r) { return r.waits_alone; });
    if (first == running_.end()) return;
    first->waits_alone = false;
    alone_ = first->process.get();
    for (auto& running : running_) {
      if (running.process.get() != alone_) running.process->pause();
    }
    alone_->send(std::to_string(options_.threads));
  }

  void reap() {
    for (const auto& run : ended_) {
      const auto at =
          std::find_if(running_.begin(), running_.end(), [&](const Running& r) { return r.run == run; });
      const auto how = at->process->wait();
      if (at->process.get() == alone_) together();
      note_end(*at, how);
      running_.erase(at);
      ++done_;
      tell(run);
    }
    ended_.clear();
  }

  void note_end(const Running& of, const std::string& how) {
    if (of.failure.empty() && how.empty()) return;
    WorkerFailure failure{of.run, "", "its process ended: " + how};
    if (!of.failure.empty()) {
      const auto words = parse_json(of.failure, "a worker's line");
      failure.kind = words.value("kind", ""), failure.why = words.value("why", "");
    }
    failures_.push_back(failure), dropped_.push_back(of.run);
  }

  void tell(const CheckRun& run) const {
    if (options_.progress == nullptr) return;
    const double left = (options_.now_s() - begun_s_) / static_cast<double>(done_) *
                        static_cast<double>(total_ - std::min(total_, done_));
    say(options_.progress, fmt::format("{} seed {} ended: {} of {} runs, about {} left\n", run.arm, run.seed,
                                       done_, total_, format_duration(left)));
  }

  [[noreturn]] void end_all() {
    for (auto& running : running_) running.process->ask_to_end();
    for (auto& running : running_) running.process->wait();
    throw Interrupted(fmt::format("interrupted after {} of {} runs; what has begun is kept", done_, total_));
  }

  const WorkerPoolOptions& options_;
  std::deque<CheckRun> waiting_;
  std::vector<Running> running_;
  std::vector<CheckRun> ended_, dropped_;  // dropped: failed, or never started as a source failed
  std::vector<WorkerFailure> failures_;
  ChildProcess* alone_ = nullptr;
  size_t total_, done_ = 0;
  double begun_s_;
};

}  // namespace

std::vector<WorkerFailure> run_in_workers(const std::vector<CheckRun>& runs,
                                          const WorkerPoolOptions& options) {
  GW_CHECK(options.jobs >= 1 && options.threads >= 1,
           "worker pool: expected jobs and threads ≥ 1, got {}, {}", options.jobs, options.threads);
  return Pool(runs, options).run();
}

std::shared_ptr<void> Worker::alone() {
  line_.send(kAlone);
  const auto answer = line_.receive();
  int threads = 0;
  std::from_chars(answer.data(), answer.data() + answer.size(), threads);
  GW_CHECK(threads >= 1, "worker: expected a number of threads, got \"{}\"", answer);
  const int before = at::get_num_threads();
  at::set_num_threads(threads);
  return {this, [before](Worker* worker) {
            at::set_num_threads(before);
            worker->line_.send(kTogether);
          }};
}

void Worker::failed(const std::string& kind, const std::string& why) {
  line_.send(dump_json({{"kind", kind}, {"why", fit_width(why, kLongestReason)}}));
}

}  // namespace gw::inline runs
