#pragma once
// The flags of `gatewright fit`.
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "apps/cli/csv_flags.h"
#include "gatewright/likelihood/fit_mixtures.h"

namespace gw {

class FitFlags {
 public:
  void declare(CLI::App& app);

  /// After parsing, once: words become what the library knows. Errors: ValueError with the near miss.
  void fill_request();

  /// What makes the page again: the table, the model and what was not left at its default.
  std::string command_line() const;

  likelihood::FitRequest request;
  CsvFlags csv;
  std::string data, out, report;
  bool json = false, quiet = false;

 private:
  void declare_table(CLI::App& app);
  void declare_model(CLI::App& app);
  void declare_comparison(CLI::App& app);
  void declare_starts(CLI::App& app);
  void declare_rules(CLI::App& app);
  void declare_iterations(CLI::App& app);
  void declare_output(CLI::App& app);

  std::string experts_ = "2", gate_ = "softmax", family_ = "gaussian", activation_ = "tanh",
              missing_ = "refuse", start_ = "mixed", narrow_ = "refuse", solver_ = "newton";
  std::vector<std::string> gate_inputs_, expert_inputs_;
  bool select_without_bias_ = false;
};

}  // namespace gw
