#pragma once
// Commands of the command line: a catalogue like any other (`apps/cli/commands/`). A command parses, calls
// the library and prints; arithmetic belongs below.
#include <CLI/CLI.hpp>
#include <string>

#include "gatewright/base/registry.h"

namespace gw {

/// One subcommand, named after its file. `main` lists it, parses its flags and turns its errors into exit
/// codes.
///
///     class GreetCommand : public Command {
///      public:
///       using Command::Command;
///       static constexpr const char* kSummary = "Say good morning.";
///       const char* example() const override { return "gatewright greet --name Ada"; }
///       void declare(CLI::App& app) override { app.add_option("--name", name_, "whom to greet")->required();
///       } int run() override;   // returns the exit code: 0 for success and for a verdict that holds, 1 for
///       one that does not …
///     };
///     GW_REGISTER(gw::Command, GreetCommand);
class Command {
 public:
  static constexpr const char* kKind = "commands";
  static constexpr const char* kSource = "";
  struct Context {};
  using Options = OptionSet;  // flags are declared to CLI11 instead: commands have positional arguments and
                              // repeated flags

  Command(const Options&, const Context&) {}
  virtual ~Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  /// One line that works when pasted; `--help` shows it.
  virtual const char* example() const = 0;
  /// Adds flags and arguments bound to members. Called once, before parsing.
  virtual void declare(CLI::App& app) = 0;
  /// Runs after parsing, with the number of threads and the kernel levels set. Standard output is for
  /// results, standard error for progress. Errors: throw gw::Error; main prints it and exits with its code.
  virtual int run() = 0;
};

/// For options that take a place: without it an empty text would silently mean the default.
inline std::string not_empty(const std::string& text) {
  return text.empty() ? "expected a path, got an empty text" : "";
}

/// For numbers without an upper end: CLI11's own checks print the largest double, 309 digits long.
inline std::string at_least_zero(const std::string& text) {
  double value = 0;
  return CLI::detail::lexical_cast(text, value) && value >= 0 ? ""
                                                              : "expected a number of 0 or more, got " + text;
}
inline std::string above_zero(const std::string& text) {
  double value = 0;
  return CLI::detail::lexical_cast(text, value) && value > 0 ? "" : "expected a number above 0, got " + text;
}

}  // namespace gw
