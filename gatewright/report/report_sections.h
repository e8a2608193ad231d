#pragma once
// The sections of the report; each is empty when its data is missing.
#include <string>
#include <vector>

#include "gatewright/report/report.h"
#include "gatewright/runs/run_data.h"

namespace gw::inline report {

/// Everything that the page shows.
struct ReportData {
  std::vector<CheckResult> checks;
  std::vector<RunData> runs;
  std::vector<std::string> arms;  ///< in the order of their first run

  /// Position in `arms`: chooses the colour.
  int arm_index(const std::string& arm) const;
  /// The recipe's title of an arm, its name where it has none.
  std::string title_of(const std::string& arm) const;
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

std::string section(const std::string& id, const std::string& title, const std::string& lead,
                    const std::string& body);

/// What the page says first: which arm is best in the worst case, by how much, over how many seeds, whether
/// so few steps can say anything, and what each mixture gains or loses against the dense network at which
/// price. Empty without a measured accuracy.
std::vector<std::string> in_short(const ReportData& data);
/// Those sentences and one picture.
std::string headline_section(const ReportData& data);
std::string verdict_section(const ReportData& data);
std::string result_section(const ReportData& data);
std::string rate_section(const ReportData& data);
std::string left_section(const ReportData& data);
std::string curve_section(const ReportData& data, const ReportOptions& options);
std::string routing_section(const ReportData& data, const ReportOptions& options);
/// Recorded decisions: what only a recording knows, layer by layer and over time.
std::string route_section(const ReportData& data);
std::string sample_section(const ReportData& data);
/// Whether the recording of a run counts experts by class: its maps then stand among the recorded routes.
bool records_classes(const RunData& run);
/// The name of a class, "class 3" without one.
std::string class_name(const RunData& run, int64_t index);
std::string cost_section(const ReportData& data);
std::string run_section(const ReportData& data);

/// One curve per run (and kind) of a field of the records; `kind` "" takes all. Values are averaged in
/// `points` groups.
struct CurvePoints {
  std::vector<double> x, y;
};
CurvePoints curve_points(const RunData& run, const std::string& field, int element, const std::string& kind,
                         bool by_epoch, size_t points);
/// The trainer numbers its epochs from 0 and writes one record a step: the number of steps in an epoch of
/// such a run, so that its records lie at step / steps per epoch. 0 if the records' epochs are places on the
/// axis already (fractions, or one record an epoch), nan if the run stopped inside its first epoch, whose
/// length nothing tells.
double steps_per_epoch(const RunData& run);
/// True if every record of every run has a place on an axis of epochs: then curves run over epochs, otherwise
/// over steps.
bool has_epochs(const ReportData& data);

/// Style sheet and script of the page.
extern const char* const kReportCss;
extern const char* const kReportScript;
/// Forbids the page every request: a second wall behind the escaping of texts.
inline constexpr const char* kReportPolicy =
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'\">";

}  // namespace gw::inline report
