#pragma once
// How a long computation is watched and ended from outside: one way for fits, trials, trainings and arms.
#include <atomic>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

namespace gw::inline base {

/// Whether the work is to end: a flag that a signal handler sets, or a function to ask; nothing: never.
/// Asked between steps, by one thread at a time.
class Stop {
 public:
  Stop() = default;
  /// The flag must outlive the work.
  Stop(const std::atomic<bool>* flag) : flag_(flag) {}
  template <class Ask>
  requires std::is_invocable_r_v<bool, Ask> Stop(Ask ask) : ask_(std::move(ask)) {}
  bool requested() const { return (flag_ != nullptr && flag_->load()) || (ask_ && ask_()); }

 private:
  const std::atomic<bool>* flag_ = nullptr;
  std::function<bool()> ask_;
};

/// Told how much of the work is done, by one thread at a time.
using Tick = std::function<void(int64_t done, int64_t total)>;

}  // namespace gw::inline base
