// The page's first section: one sentence, one picture, and where the mixtures lose.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gatewright/report/arm_standing.h"
#include "gatewright/report/charts.h"

namespace gw::inline report {
namespace {

constexpr int64_t kPlumbingSteps =
    100;  // below it nothing is learnt: the ten steps of the tiny size end near chance

std::string percent(double share) { return format_value(share, Unit::kPercent); }

std::string seeds_words(const ArmStanding& arm) {
  return arm.seeds == 1 ? "one seed" : fmt::format("{} seeds", arm.seeds);
}

/// Whether images were attacked anywhere: then accuracies are those of the worst case.
bool attacked(const ReportData& data) {
  return std::any_of(data.runs.begin(), data.runs.end(), [](const RunData& run) {
    return run.evaluation && std::isfinite(worst_case(*run.evaluation));
  });
}

/// Of several seeds the ranges are compared; of one seed there is no range, only the interval that so few
/// test images leave.
std::string overlap_sentence(const ArmStanding& best, const ArmStanding& next) {
  const bool spread = best.low < best.high && next.low < next.high;
  if (!spread || next.high < best.low) return "";
  const char* what = best.seeds > 1 && next.seeds > 1     ? "ranges over seeds"
                     : best.seeds == 1 && next.seeds == 1 ? "95 % intervals over the test images"
                                                          : "ranges (one of seeds, one of test images)";
  return fmt::format(" Their {} overlap: the lead may be chance.", what);
}

std::string first_sentence(const std::vector<ArmStanding>& arms, bool robust) {
  const ArmStanding& best = arms[0];
  const std::string measure = robust ? "worst-case accuracy" : "clean accuracy";
  const std::string over =
      seeds_words(best) + (best.images > 0 ? fmt::format(", {} test images", best.images) : "");
  if (arms.size() == 1)
    return fmt::format("{} reaches {} {} ({}).", best.title, percent(best.accuracy), measure, over);
  const ArmStanding& next = arms[1];
  std::string text = fmt::format("{} is best by {}: {}, {:.1f} points above {} ({}); {}.", best.title,
                                 measure, percent(best.accuracy), 100 * (best.accuracy - next.accuracy),
                                 next.title, percent(next.accuracy), over);
  return text + overlap_sentence(best, next);
}

/// What a mixture gives up or gains against the best arm without a router, and its price.
std::string mixture_sentence(const ArmStanding& arm, const ArmStanding* dense) {
  std::string text = arm.title;
  if (dense != nullptr) {
    const double points = 100 * (arm.accuracy - dense->accuracy);
    text += points < 0 ? fmt::format(" loses {:.1f} points to {}", -points, dense->title)
                       : fmt::format(" gains {:.1f} points over {}", points, dense->title);
  }
  std::string price;
  if (std::isfinite(arm.macs_ratio))
    price = fmt::format("{:.2f} of the dense network's multiply-adds", arm.macs_ratio);
  if (const std::string time = time_words(arm); !time.empty()) price += (price.empty() ? "" : ", ") + time;
  if (!price.empty()) text += (dense != nullptr ? ", at " : ": ") + price;
  return text + ".";
}

/// Comparisons of arms that the paper makes and the numbers here do not bear out.
std::string order_sentence(const ReportData& data) {
  size_t compared = 0, borne_out = 0;
  for (const CheckResult& check : data.checks) {
    for (const CheckRow& row : check.rows) {
      compared += row.order ? 1 : 0;
      borne_out += row.order && row.meets ? 1 : 0;
    }
  }
  if (borne_out == compared) return "";
  if (borne_out > 0)
    return fmt::format(
        "The paper's order appears only in part here: {} of its {} comparisons of arms come out.", borne_out,
        compared);
  const std::string none = compared == 1
                               ? "its one comparison of arms does not come out"
                               : fmt::format("none of its {} comparisons of arms comes out", compared);
  return "The paper's order does not appear here: " + none + ".";
}

/// "3 training steps: …" as long as nothing can be learnt in them.
std::string plumbing_words(int64_t steps, size_t classes) {
  if (steps == 0 || steps >= kPlumbingSteps) return "";
  const std::string chance =
      classes > 1 ? fmt::format("; guessing gives {}", percent(1 / static_cast<double>(classes))) : "";
  return fmt::format("{} training step{}: a test of the plumbing, the networks are untrained{}.", steps,
                     steps == 1 ? "" : "s", chance);
}

size_t classes_of(const ReportData& data) {
  for (const RunData& run : data.runs)
    if (run.evaluation && !run.evaluation->classes.empty()) return run.evaluation->classes.size();
  return 0;
}

std::string plumbing_sentence(const ReportData& data) {
  int64_t most = 0;
  for (const RunData& run : data.runs) {
    for (const Json& record : run.records) {
      const double step = number_or_nan(record, "step");
      if (std::isfinite(step)) most = std::max(most, static_cast<int64_t>(step));
    }
  }
  return plumbing_words(most, classes_of(data));
}

std::string picture(const std::vector<ArmStanding>& arms, bool robust) {
  BarChart chart{robust ? "Worst-case accuracy" : "Clean accuracy", "", Unit::kPercent, {"accuracy"}, {}};
  bool over_seeds = false, over_images = false;
  for (const ArmStanding& arm : arms) {
    const bool spread = arm.low < arm.high;
    std::string label = arm.title;
    if (spread) label += fmt::format(", {} … {}", percent(arm.low), percent(arm.high));
    over_seeds = over_seeds || (spread && arm.seeds > 1),
    over_images = over_images || (spread && arm.seeds == 1);
    chart.rows.push_back({label, {arm.accuracy}, !arm.routed, arm.low, arm.high});
  }
  chart.note = "grey: without a router";
  if (over_seeds) chart.note += "; line: least to largest over seeds";
  if (over_images) chart.note += "; line: 95 % interval over the test images, one seed";
  return bar_chart(chart);
}

std::string paragraph(const std::string& text, const char* css = "") {
  return text.empty() ? "" : fmt::format("<p{}>{}</p>", css, escape_html(text));
}

}  // namespace

std::vector<std::string> in_short(const ReportData& data) {
  const auto arms = standings(data);
  if (arms.empty()) return {};
  const auto dense =
      std::find_if(arms.begin(), arms.end(), [](const ArmStanding& arm) { return !arm.routed; });
  // Before anything learns there is no best arm to speak of.
  std::vector<std::string> sentences{plumbing_sentence(data), first_sentence(arms, attacked(data)),
                                     order_sentence(data)};
  for (const ArmStanding& arm : arms)
    if (arm.routed) sentences.push_back(mixture_sentence(arm, dense == arms.end() ? nullptr : &*dense));
  std::erase(sentences, "");
  return sentences;
}

std::string headline_section(const ReportData& data) {
  const auto sentences = in_short(data);
  if (sentences.empty()) return "";
  std::string rest;
  for (size_t i = 1; i < sentences.size(); ++i) rest += paragraph(sentences[i]);
  const std::string body = paragraph(sentences[0], " class=\"first\"") + "<div class=\"grid\">" +
                           picture(standings(data), attacked(data)) + "<div>" + rest + "</div></div>";
  return section("headline", "In short", "", "<div class=\"headline\">" + body + "</div>");
}

}  // namespace gw::inline report
