#pragma once
// Errors of the library. Message shape: "<part>: expected <what>, got <what>; <remedy or near miss>".
// The library never prints and never exits: the command line turns these into exit codes.
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace gw {

/// Base of all errors thrown by the library; `exit_code` is what a program should exit with.
class Error : public std::runtime_error {
 public:
  Error(std::string message, int exit_code) : std::runtime_error(std::move(message)), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

/// The caller's fault: a wrong option, shape, file or recipe. Exit code 2.
class ValueError : public Error {
 public:
  explicit ValueError(std::string message) : Error(std::move(message), 2) {}
};

/// The environment's fault: a missing file, a full disk, an unwritable directory. Exit code 2.
class IoError : public Error {
 public:
  explicit IoError(std::string message) : Error(std::move(message), 2) {}
};

/// Our fault: an invariant of the library does not hold. Exit code 1.
class InternalError : public Error {
 public:
  explicit InternalError(std::string message) : Error(std::move(message) + " (a defect of gatewright: please report)", 1) {}
};

/// The run was interrupted by the user and its state was saved. Exit code 130, as shells expect after SIGINT.
class Interrupted : public Error {
 public:
  explicit Interrupted(std::string message) : Error(std::move(message), 130) {}
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw ValueError(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws ValueError with the formatted message unless `condition` holds.
template <class... Args>
void check(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw ValueError(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws InternalError unless `condition` holds: for what no input may cause.
template <class... Args>
void ensure(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw InternalError(fmt::format(format, std::forward<Args>(args)...));
}

/// "; did you mean "x"?" when a candidate is near (edit distance at most a third of the length, at least 1),
/// otherwise "; known: a, b, c".
std::string near_miss(const std::string& got, const std::vector<std::string>& candidates);

}  // namespace gw
