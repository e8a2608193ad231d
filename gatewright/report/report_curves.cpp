// Sections of the report that are curves and heat maps: learning, routing.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "gatewright/base/shown.h"
#include "gatewright/report/charts.h"
#include "gatewright/report/report_sections.h"

namespace gw::inline report {
namespace {

constexpr size_t kExpertCurves = 8;  // more experts than colours: a heat map over time instead of curves
constexpr size_t kTimeColumns = 24;
constexpr size_t kTrainingPoints =
    40;  // the loss of one batch jumps: 40 means show the course, 200 points show the jumps
constexpr const char* kMapLead =
    " Cells count samples; their colour is the share of the class that the expert serves.";

double value_of(const Json& record, const std::string& field, int element) {
  if (element < 0) return number_or_nan(record, field);
  const auto list = record.find(field);
  if (list == record.end() || !list->is_array() || static_cast<size_t>(element) >= list->size())
    return std::numeric_limits<double>::quiet_NaN();
  const Json& value = (*list)[static_cast<size_t>(element)];
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

bool has_kind(const Json& record, const std::string& kind) {
  return kind.empty() || (record.contains("kind") && record["kind"] == kind);
}

std::string title_of(const std::string& field) {
  std::string title = words(field);
  if (!title.empty() && title[0] >= 'a' && title[0] <= 'z')
    title[0] = static_cast<char>(title[0] - 'a' + 'A');
  return title;
}

/// The curves of a field for all runs, validation solid and training dashed; empty if nobody recorded it.
std::string field_chart(const ReportData& data, const std::string& field, const ReportOptions& options) {
  const bool by_epoch = has_epochs(data);
  LineChart chart;
  chart.title = title_of(field);
  chart.x_label = by_epoch ? "epoch" : "step";
  chart.unit = unit_of_metric(field);
  bool averaged = false;
  for (const char* kind : {"train", "validation"}) {
    for (const RunData& run : data.runs) {
      const bool training = std::string(kind) == "train";
      const size_t most =
          training ? std::min(options.points_per_curve, kTrainingPoints) : options.points_per_curve;
      const auto points = curve_points(run, field, -1, kind, by_epoch, most);
      if (points.x.empty()) continue;
      const auto records = std::count_if(run.records.begin(), run.records.end(),
                                         [&](const Json& r) { return has_kind(r, kind); });
      averaged = averaged || (training && static_cast<size_t>(records) > most);
      chart.series.push_back(
          {run.label() + ", " + kind, data.arm_index(run.arm), training, points.x, points.y});
    }
  }
  if (chart.series.empty()) return "";
  if (averaged)
    chart.note = fmt::format("training: {} means of equally many steps",
                             std::min(options.points_per_curve, kTrainingPoints));
  return line_chart(chart);
}

bool is_clock(const std::string& field) {
  const auto ends = [&](std::string_view end) {
    return field.size() >= end.size() && field.compare(field.size() - end.size(), end.size(), end) == 0;
  };
  return ends("_s") || ends("_ms") || field == "wall_time";
}

/// Numeric fields that have no chart of their own.
std::set<std::string> other_fields(const ReportData& data) {
  static const std::set<std::string> known = {"step",           "epoch",           "loss",
                                              "clean_accuracy", "robust_accuracy", "entropy"};
  std::set<std::string> fields;
  for (const RunData& run : data.runs)
    for (const Json& record : run.records)
      for (const auto& [name, value] : record.items())
        if (value.is_number() && !known.count(name) && !is_clock(name)) fields.insert(name);
  return fields;
}

std::vector<std::string> expert_names(size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back(fmt::format("E{}", i));
  return names;
}

std::string affinity_map(const RunData& run, const Counts& counts, const char* title) {
  if (counts.empty()) return "";
  HeatMap map{title, run.label(), "expert", "class",     expert_names(counts.size()),
              {},    counts,      true,     Unit::kCount};
  for (size_t c = 0; c < counts[0].size(); ++c)
    map.columns.push_back(class_name(run, static_cast<int64_t>(c)));
  return heat_map(map);
}

size_t count_experts(const RunData& run) {
  size_t experts = 0;
  for (const Json& record : run.records)
    if (record.contains("load") && record["load"].is_array())
      experts = std::max(experts, record["load"].size());
  return experts;
}

/// The kind of records that carry a run's load: training has more of them.
std::string load_kind(const RunData& run) {
  for (const Json& record : run.records)
    if (record.contains("load") && has_kind(record, "train")) return "train";
  return "";
}

std::string load_curves(const RunData& run, size_t experts, bool by_epoch, const ReportOptions& options) {
  LineChart chart;
  chart.title = "Load of the experts";
  const std::string kind = load_kind(run);
  chart.note = run.label() + (kind.empty() ? "" : ", " + kind) + "; dotted: equal load";
  chart.x_label = by_epoch ? "epoch" : "step";
  chart.unit = Unit::kPercent;
  chart.legend = true;
  chart.reference = 1.0 / static_cast<double>(experts);
  for (size_t e = 0; e < experts; ++e) {
    const auto points =
        curve_points(run, "load", static_cast<int>(e), kind, by_epoch, options.points_per_curve);
    chart.series.push_back({fmt::format("E{}", e), static_cast<int>(e), !kind.empty(), points.x, points.y});
  }
  return line_chart(chart);
}

std::string load_map(const RunData& run, size_t experts, bool by_epoch) {
  HeatMap map{"Load of the experts", run.label(), "expert", by_epoch ? "epoch" : "step",
              expert_names(experts), {},          {},       false,
              Unit::kPercent};
  for (size_t e = 0; e < experts; ++e) {
    const auto points =
        curve_points(run, "load", static_cast<int>(e), load_kind(run), by_epoch, kTimeColumns);
    if (e == 0)
      for (double x : points.x) map.columns.push_back(fmt::format("{:.3g}", x));
    map.values.push_back(points.y);
    map.values.back().resize(map.columns.size(), std::numeric_limits<double>::quiet_NaN());
  }
  return map.columns.empty() ? "" : heat_map(map);
}

}  // namespace

bool has_epochs(const ReportData& data) {
  for (const RunData& run : data.runs) {
    for (const Json& record : run.records)
      if (!record.contains("epoch") || !record["epoch"].is_number()) return false;
    if (std::isnan(steps_per_epoch(run))) return false;
  }
  return true;
}

double steps_per_epoch(const RunData& run) {
  std::map<double, double> last_step;  // of the training records, by epoch
  size_t records = 0;
  std::set<double> validated;
  for (const Json& record : run.records) {
    const double epoch = number_or_nan(record, "epoch"), step = number_or_nan(record, "step");
    if (!std::isfinite(epoch) || !std::isfinite(step)) continue;
    if (has_kind(record, "validation")) validated.insert(epoch);
    if (!has_kind(record, "train")) continue;
    if (epoch != std::floor(epoch)) return 0;
    last_step[epoch] = std::max(last_step[epoch], step);
    ++records;
  }
  if (records == last_step.size()) return 0;  // one record an epoch, or none
  const auto [epoch, step] = *last_step.begin();
  const bool complete = last_step.size() > 1 || validated.count(epoch) > 0;
  return complete ? step / (epoch + 1) : std::numeric_limits<double>::quiet_NaN();
}

CurvePoints curve_points(const RunData& run, const std::string& field, int element, const std::string& kind,
                         bool by_epoch, size_t points) {
  CurvePoints all;
  bool any = false;
  const double per_epoch = by_epoch ? steps_per_epoch(run) : 0;
  for (const Json& record : run.records) {
    if (!has_kind(record, kind)) continue;
    const double x = per_epoch > 0 ? number_or_nan(record, "step") / per_epoch
                                   : number_or_nan(record, by_epoch ? "epoch" : "step");
    const auto list = record.find(field);
    if (!std::isfinite(x) || list == record.end())
      continue;  // this record is about something else; null is a gap
    all.x.push_back(x);
    all.y.push_back(value_of(record, field, element));
    any = any || std::isfinite(all.y.back());
  }
  if (!any) return {};
  const size_t count = all.x.size();
  if (count <= points) return all;
  CurvePoints means;
  for (size_t group = 0; group < points; ++group) {
    const size_t begin = group * count / points, end = (group + 1) * count / points;
    double sum = 0, used = 0;
    for (size_t i = begin; i < end; ++i) {
      if (!std::isfinite(all.y[i])) continue;
      sum += all.y[i];
      ++used;
    }
    means.x.push_back(all.x[end - 1]);
    means.y.push_back(used > 0 ? sum / used : std::numeric_limits<double>::quiet_NaN());
  }
  return means;
}

std::string curve_section(const ReportData& data, const ReportOptions& options) {
  std::string body, others;
  for (const char* field : {"loss", "clean_accuracy", "robust_accuracy"})
    body += field_chart(data, field, options);
  for (const std::string& field : other_fields(data)) others += field_chart(data, field, options);
  if (body.empty() && others.empty()) return "";
  std::vector<LegendEntry> entries;
  for (size_t i = 0; i < data.arms.size(); ++i)
    entries.push_back({data.title_of(data.arms[i]), static_cast<int>(i), false});
  std::string html = legend(entries) + "<div class=\"grid\">" + body + "</div>";
  if (!others.empty())
    html += "<details class=\"more\"><summary>Other recorded quantities</summary><div class=\"grid\">" +
            others + "</div></details>";
  return section(
      "curves", "Learning curves",
      "Thick: validation. Thin and dashed: training, smoothed. One colour per arm, one curve per run.", html);
}

std::string routing_section(const ReportData& data, const ReportOptions& options) {
  std::string body;
  const auto mapped = data.first_of_arms([](const RunData& run) {
    return run.evaluation && !run.evaluation->affinity_clean.empty() &&
           !records_classes(run);  // else below, with the recorded routes
  });
  for (const RunData* run : mapped) {
    body += "<div class=\"grid two\">" +
            affinity_map(*run, run->evaluation->affinity_clean, "Experts by class, clean");
    body += affinity_map(*run, run->evaluation->affinity_attacked, "Experts by class, attacked") + "</div>";
  }
  std::string curves;
  for (const RunData* run : data.first_of_arms([](const RunData& r) { return count_experts(r) > 0; })) {
    const size_t experts = count_experts(*run);
    curves += experts <= kExpertCurves ? load_curves(*run, experts, has_epochs(data), options)
                                       : load_map(*run, experts, has_epochs(data));
  }
  curves += field_chart(data, "entropy", options);
  if (!curves.empty()) body += "<div class=\"grid\">" + curves + "</div>";
  return section("routing", "Routing",
                 std::string("The first seed of each arm that routes.") + (mapped.empty() ? "" : kMapLead),
                 body);
}

}  // namespace gw::inline report
