#pragma once
// How the arms of a report stand against each other: what its first sentence and its picture say.
#include <map>
#include <string>
#include <vector>

#include "gatewright/report/report_sections.h"

namespace gw::inline report {

/// One arm over its runs. nan stands for what was not measured.
struct ArmStanding {
  std::string title;
  int colour = 0;
  bool routed = false;  ///< it chooses experts
  int64_t seeds = 0, images = 0;
  double accuracy =
      0;  ///< mean over seeds, of the weakest attack result or, where nobody attacked, of clean images
  double low = 0,
         high =
             0;  ///< least and largest of several seeds; of one seed the 95 % interval over the test images
  double macs_ratio = 0;  ///< multiply-adds relative to the dense network
  std::map<int64_t, double>
      time_ratio;  ///< time relative to the dense network by batch size; above 1 is slower
};

/// Best first. Arms without a measured accuracy are left out.
std::vector<ArmStanding> standings(const ReportData& data);
/// Worst-case accuracy of an evaluation: what it records as such, else its lowest robust accuracy; nan
/// without attacks.
double worst_case(const Evaluation& evaluation);
/// Wilson's 95 % interval of a share that was counted over `n` images.
struct Interval {
  double low, high;
};
Interval wilson_interval(double share, int64_t n);
/// "1.41 times its time at batch 1 (slower)" for every batch, joined by commas; "its" is the dense network's.
std::string time_words(const ArmStanding& arm);

}  // namespace gw::inline report
