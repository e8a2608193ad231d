#pragma once
#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "data/csv.h"

namespace gw {

/// How a table is written, where the header does not tell.
struct CsvFlags {
  std::string decimal = ".", separator = "auto";

  void declare(CLI::App& app) {
    app.add_option("--decimal", decimal, "decimal sign of the table: . or ,")->check(CLI::IsMember({".", ","}))->capture_default_str();
    app.add_option("--separator", separator, "between cells: auto (by the header), comma, semicolon, tab")
        ->check(CLI::IsMember({"auto", "comma", "semicolon", "tab"}))
        ->capture_default_str();
  }
  CsvOptions options() const {
    static const std::map<std::string, char> kSigns{{"auto", '\0'}, {"comma", ','}, {"semicolon", ';'}, {"tab", '\t'}};
    CsvOptions result;
    result.separator = kSigns.at(separator), result.decimal = decimal.front();
    return result;
  }
  /// The flags as they were given, with a blank before each.
  std::string shown() const { return (decimal == "." ? "" : " --decimal ,") + (separator == "auto" ? "" : " --separator " + separator); }
};

}  // namespace gw
