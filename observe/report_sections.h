#pragma once
// The sections of the report; each is empty when its data is missing.
#include <string>
#include <vector>

#include "observe/report.h"
#include "observe/report_data.h"

namespace gw {

/// Everything that the page shows.
struct ReportData {
  std::vector<CheckResult> checks;
  std::vector<RunData> runs;
  std::vector<std::string> arms;  ///< in the order of their first run

  /// Position in `arms`: chooses the colour.
  int arm_index(const std::string& arm) const;
  /// The first run of each arm for which `has` holds.
  template <class Has>
  std::vector<const RunData*> first_of_arms(Has has) const {
    std::vector<const RunData*> found;
    for (const std::string& arm : arms) {
      for (const RunData& run : runs) {
        if (run.arm != arm || !has(run)) continue;
        found.push_back(&run);
        break;
      }
    }
    return found;
  }
};

std::string section(const std::string& id, const std::string& title, const std::string& lead, const std::string& body);

std::string verdict_section(const ReportData& data);
std::string result_section(const ReportData& data);
std::string rate_section(const ReportData& data);
std::string curve_section(const ReportData& data, const ReportOptions& options);
std::string routing_section(const ReportData& data, const ReportOptions& options);
std::string sample_section(const ReportData& data);
std::string cost_section(const ReportData& data);
std::string run_section(const ReportData& data);

/// One curve per run (and kind) of a field of the records; `kind` "" takes all. Values are averaged in `points` groups.
struct CurvePoints {
  std::vector<double> x, y;
};
CurvePoints curve_points(const RunData& run, const std::string& field, int element, const std::string& kind, bool by_epoch, size_t points);
/// True if every record of every run has an epoch: then curves run over epochs, otherwise over steps.
bool has_epochs(const ReportData& data);

/// Style sheet and script of the page.
extern const char* const kReportCss;
extern const char* const kReportScript;

}  // namespace gw
