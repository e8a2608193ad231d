#include "python/csrc/likelihood/running.h"

#include <omp.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "gatewright/base/error.h"

namespace py = pybind11;

namespace gw::python {
namespace {

constexpr auto kSignals = std::chrono::milliseconds(50);

std::atomic<bool> closing{false};
std::atomic<int64_t> running{0};

/// Counts a computation until its thread holds the GIL again: a thread that asks for it while the interpreter
/// goes down is ended in the middle of C++ frames, which aborts the process.
struct Counted {
  Counted() {
    if (closing) throw Interrupted("likelihood: the interpreter is going down; nothing was computed");
    ++running;
  }
  ~Counted() { --running; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
};

class Task {
 public:
  Task(int team, const std::function<void(const Stop&)>& body)
      : worker_([this, team, &body] { work(team, body); }) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { worker_.join(); }

  void ask_to_stop() { stop_ = true; }
  bool done_within(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return done_changed_.wait_for(lock, time, [this] { return done_; });
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void work(int team, const std::function<void(const Stop&)>& body) {
    omp_set_num_threads(team);
    try {
      body([this] { return stop_.load() || closing.load(); });
    } catch (...) {
      error_ = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    done_ = true;
    done_changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable done_changed_;
  bool done_ = false;
  std::atomic<bool> stop_{false};
  std::exception_ptr error_;
  std::thread worker_;  // last: it uses all of the above
};

bool in_main_thread() {
  const auto threading = py::module_::import("threading");
  return threading.attr("main_thread")().is(threading.attr("current_thread")());
}

/// Waits for the task. True if a signal handler raised: the exception is then set.
bool wait_for(Task& task, bool signals) {
  bool raised = false;
  PyThreadState* released = PyEval_SaveThread();
  while (!task.done_within(kSignals)) {
    if (!signals || raised) continue;
    PyEval_RestoreThread(released);
    raised = PyErr_CheckSignals() != 0;
    released = PyEval_SaveThread();
    if (raised) task.ask_to_stop();
  }
  PyEval_RestoreThread(released);
  return raised;
}

void refuse_half_a_result() {
  if (closing) throw Interrupted("likelihood: the interpreter is going down; nothing is kept");
}

/// Waits for the threads that compute; they need the GIL to end.
void close_down() {
  closing = true;
  const py::gil_scoped_release released;
  while (running > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace

void run_apart(int64_t threads, const std::function<void(const Stop&)>& body) {
  const bool signals = in_main_thread();
  const Counted counted;
  Task task(threads > 0 ? static_cast<int>(threads) : omp_get_max_threads(), body);
  if (wait_for(task, signals)) throw py::error_already_set();
  refuse_half_a_result();
  task.rethrow();
}

void run_here(const std::function<void(const Stop&)>& body) {
  const Counted counted;
  {
    const py::gil_scoped_release released;
    body([] { return closing.load(); });
  }
  refuse_half_a_result();
}

void register_shutdown() {
  py::module_::import("atexit").attr("register")(py::cpp_function(close_down));
  // A child has none of the parent's other threads, and waits for none.
  pthread_atfork(nullptr, nullptr, [] { running = 0; });
}

}  // namespace gw::python
