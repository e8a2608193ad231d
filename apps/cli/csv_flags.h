#pragma once
#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "gatewright/base/shown.h"
#include "gatewright/data/csv.h"

namespace gw {

/// "a,b" as names; a name that holds a comma stands in quotes, as in a table's header: "\"length, cm\",b".
inline std::vector<std::string> split_names(const std::string& text) {
  std::vector<std::string> names(1);
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"' && quoted && i + 1 < text.size() && text[i + 1] == '"') {
      names.back() += text[i++];
    } else if (text[i] == '"' && (quoted || names.back().empty())) {
      quoted = !quoted;
    } else if (text[i] == ',' && !quoted) {
      names.emplace_back();
    } else {
      names.back() += text[i];
    }
  }
  return names;
}

inline void split_names(std::vector<std::string>& arguments) {
  std::vector<std::string> names;
  for (const auto& text : arguments) {
    for (auto& name : split_names(text)) names.push_back(std::move(name));
  }
  arguments = std::move(names);
}

/// The other way round.
inline std::string join_names(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names)
    text += (text.empty() ? "" : ",") + (name.find(',') == std::string::npos ? name : '"' + name + '"');
  return text;
}

/// How a table is written, where the header does not tell.
struct CsvFlags {
  std::string decimal = ".", separator = "auto", comment, missing_marks;
  const CLI::Option* marks_given = nullptr;

  void declare(CLI::App& app) {
    app.add_option("--decimal", decimal, "decimal sign of the table: . or ,")
        ->check(CLI::IsMember({".", ","}))
        ->capture_default_str();
    app.add_option("--separator", separator,
                   "between cells: auto (by the header), comma, semicolon, tab, bar")
        ->check(CLI::IsMember({"auto", "comma", "semicolon", "tab", "bar"}))
        ->capture_default_str();
    app.add_option("--comment", comment, "one sign; lines that begin with it are skipped")
        ->check([](const std::string& text) {
          return text.size() == 1 ? "" : "expected one sign, got \"" + text + "\"";
        });
    marks_given = app.add_option("--missing-marks", missing_marks,
                                 "what stands for a missing value beside an empty cell, in place of NA, NaN, "
                                 "null and . : ?,None; \"\" for nothing else");
  }
  CsvOptions options() const {
    static const std::map<std::string, char> kSigns{
        {"auto", '\0'}, {"comma", ','}, {"semicolon", ';'}, {"tab", '\t'}, {"bar", '|'}};
    CsvOptions result;
    result.separator = kSigns.at(separator), result.decimal = decimal.front();
    if (!comment.empty()) result.comment = comment.front();
    if (marks_given->count() > 0) result.missing = split_names(missing_marks);
    return result;
  }
  /// The flags as they were given, with a blank before each.
  std::string shown() const {
    return (decimal == "." ? "" : " --decimal ,") + (separator == "auto" ? "" : " --separator " + separator) +
           (comment.empty() ? "" : " --comment " + shell_word(comment)) +
           (marks_given->count() == 0 ? "" : " --missing-marks " + shell_word(missing_marks));
  }
};

}  // namespace gw
