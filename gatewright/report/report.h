#pragma once
// One self-contained HTML page from run and check directories: no network, no fonts, no files beside it.
#include <string>
#include <vector>

namespace gw::inline report {

struct ReportOptions {
  std::string title;              ///< "": the check's, else the recipe's, else the run's name
  size_t points_per_curve = 200;  ///< longer series are averaged in this many groups
};

struct ReportPage {
  std::string html;
  std::vector<std::string> in_short;  ///< the sentences that the page opens with, for a terminal
};

/// The page. A directory with a check.json stands for the check and all its runs; any other must be a run
/// directory. What a run does not have is left out of the page.
/// Errors: ValueError without directories, for a directory that is neither, or for a document that breaks the
///         schema in gatewright/runs/run_data.h; IoError if a file cannot be read.
ReportPage make_report(const std::vector<std::string>& run_directories, const ReportOptions& options = {});
/// Its HTML alone.
std::string render_report(const std::vector<std::string>& run_directories, const ReportOptions& options = {});

}  // namespace gw::inline report
