#pragma once
// Errors of the library. Message shape: "<part>: expected <what>, got <what>; <remedy or near miss>".
// The library never prints and never exits: the command line turns these into exit codes.
#include <stdexcept>
#include <string>
#include <vector>

namespace gw::inline base {

/// Base of all errors thrown by the library. Which exit code a kind of error becomes is the program's affair
/// (apps/cli/command_line.cpp).
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller's fault: a wrong option, shape, file or recipe.
class ValueError : public Error {
 public:
  using Error::Error;
};

/// The environment's fault: a missing file, a full disk, an unwritable directory.
class IoError : public Error {
 public:
  using Error::Error;
};

/// A computation became NaN or infinite: a learning rate too high, poisoned weights, damaged data. Training
/// names the step and keeps its last good checkpoint.
class NumericError : public Error {
 public:
  using Error::Error;
};

/// Our fault: an invariant of the library does not hold.
class InternalError : public Error {
 public:
  explicit InternalError(const std::string& message)
      : Error(message + " (a defect of gatewright: please report)") {}
};

/// The run was interrupted by the user and its state was saved.
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// "; did you mean "x"?" when a candidate is near (edit distance at most a third of the length, at least 1),
/// otherwise "; known: a, b, c".
std::string near_miss(const std::string& got, const std::vector<std::string>& candidates);

}  // namespace gw::inline base
