// The section about recorded decisions: statistics of every layer, maps, flips, and a view that is moved over
// training.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/report/charts.h"
#include "gatewright/report/report_sections.h"

namespace gw::inline report {
namespace {

constexpr size_t kFlipCurves = 8, kOpenMaps = 2, kPercentLetters = 7;
constexpr size_t kMovedCells = 60'000;     // of the moved view, over all its steps: about 300 kB of the page
constexpr size_t kDrawnCells = 16'384;     // of one map: more cannot be told apart
constexpr size_t kFolded_bytes = 3 << 20;  // of all folded maps of a kind
constexpr const char* kLead =
    "From the recording of each arm's first recorded run. Dropped tokens and experts without a row are "
    "always counted, zero included. "
    "Recorded routes reveal their inputs: the page holds sums over samples only.";

double share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole)
                   : std::numeric_limits<double>::quiet_NaN();
}

int64_t sum_of(const std::vector<int64_t>& values) {
  int64_t sum = 0;
  for (const int64_t value : values) sum += value;
  return sum;
}

std::vector<std::string> numbered(const char* letter, size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back(fmt::format("{}{}", letter, i));
  return names;
}

std::string label_name(const RunData& run, size_t label) {
  const bool named = run.evaluation && label < run.evaluation->classes.size();
  return named ? run.evaluation->classes[label] : route_label(*run.routes, label);
}

std::string flips_text(const LayerView& layer, RoutePhase phase) {
  const auto found = layer.flips.find(phase);
  return found == layer.flips.end()
             ? "–"
             : format_value(share(found->second.second, found->second.first), Unit::kPercent);
}

std::string statistics(const RunData& run) {
  Table table;
  table.caption = fmt::format("{}: every layer that decides", run.label());
  table.header = {"layer",     "data",    "experts", "tokens",  "max / mean",
                  "variation", "entropy", "dead",    "dropped", "flips"};
  table.text_columns = {1};
  table.css_class = "routes";
  for (const auto& layer : run.routes->layers) {
    for (const auto& [key, s] : layer.stats) {
      const bool attacked = key.second == RoutePurpose::kAttacked;
      table.rows.push_back(
          {escape_html(layer.name),
           fmt::format("{}, {}", route_phase_name(key.first), route_purpose_name(key.second)),
           fmt::format("{}", layer.experts), fmt::format("{}", s.tokens),
           fmt::format("{:.3f}", s.max_over_mean()), fmt::format("{:.3f}", s.variation()),
           fmt::format("{:.3f}", s.entropy()), fmt::format("{}", s.dead()), fmt::format("{}", s.dropped),
           attacked ? flips_text(layer, key.first) : ""});
    }
  }
  return render_table(table);
}

/// The figure, or nothing when it would have more cells than a reader can tell apart.
std::string drawn(const HeatMap& map) {
  return map.rows.empty() || map.columns.empty() || map.rows.size() * map.columns.size() > kDrawnCells
             ? ""
             : heat_map(map);
}

/// Layers by experts: the share of the layer's rows, in the phase that speaks of the trained network.
std::string layer_map(const RunData& run) {
  size_t experts = 0;
  for (const auto& layer : run.routes->layers)
    experts = std::max(experts, static_cast<size_t>(layer.experts));
  HeatMap map{"Layers by experts",    "", "layer", "expert",      {},
              numbered("E", experts), {}, false,   Unit::kPercent};
  for (const auto& layer : run.routes->layers) {
    if (layer.stats.count({layer.shown_phase(), RoutePurpose::kClean}) == 0) continue;
    const auto& stats = layer.shown();
    map.rows.push_back(layer.name);
    map.values.emplace_back(experts, std::numeric_limits<double>::quiet_NaN());
    for (size_t e = 0; e < stats.load.size(); ++e) map.values.back()[e] = share(stats.load[e], stats.rows());
    map.note = route_phase_name(layer.shown_phase());
  }
  return drawn(map);
}

Counts as_counts(const RouteTable& table) {
  Counts counts;
  for (const auto& row : table) counts.emplace_back(row.begin(), row.end());
  return counts;
}

std::string affinity_map(const RunData& run, const LayerView& layer, RoutePurpose purpose) {
  const auto found = layer.affinity.find({layer.shown_phase(), purpose});
  if (found == layer.affinity.end() || found->second.empty() || found->second[0].empty()) return "";
  HeatMap map{fmt::format("{}: experts by class, {}", layer.name, route_purpose_name(purpose)),
              "",
              "expert",
              "class",
              numbered("E", found->second.size()),
              {},
              as_counts(found->second),
              true,
              Unit::kCount};
  for (size_t c = 0; c < found->second[0].size(); ++c) map.columns.push_back(label_name(run, c));
  return drawn(map);
}

std::string together_map(const LayerView& layer) {
  const auto found = layer.together.find(layer.shown_phase());
  if (found == layer.together.end() || found->second.empty()) return "";
  const auto names = numbered("E", found->second.size());
  return drawn({fmt::format("{}: experts that serve the same token", layer.name), "", "expert", "expert",
                names, names, as_counts(found->second), false, Unit::kCount});
}

std::string onward_map(const LayerView& layer, const std::string& next) {
  const auto found = layer.onward.find(layer.shown_phase());
  if (found == layer.onward.end() || found->second.empty() || found->second[0].empty()) return "";
  return drawn({fmt::format("From {} to {}", layer.name, next), "", "from expert", "to expert",
                numbered("E", found->second.size()), numbered("E", found->second[0].size()),
                as_counts(found->second), false, Unit::kCount});
}

std::string load_map(const LayerView& layer) {
  if (layer.bins.empty()) return "";
  HeatMap map{fmt::format("{}: load over time", layer.name),
              "",
              "expert",
              "step",
              numbered("E", static_cast<size_t>(layer.experts)),
              {},
              {},
              false,
              Unit::kPercent};
  map.values.resize(map.rows.size());
  for (const auto& slice : layer.bins) {
    map.columns.push_back(fmt::format("{}", slice.last_step));
    for (size_t e = 0; e < slice.load.size(); ++e)
      map.values[e].push_back(share(slice.load[e], sum_of(slice.load)));
  }
  return drawn(map);
}

/// Routes that an attack changed, over training.
std::string flip_chart(const RunData& run) {
  LineChart chart;
  chart.title = "Routes changed by the attack";
  chart.x_label = "step";
  chart.unit = Unit::kPercent;
  for (const auto& layer : run.routes->layers) {
    Series series{layer.name, static_cast<int>(chart.series.size()), false, {}, {}};
    bool any = false;
    for (const auto& slice : layer.bins) {
      series.x.push_back(static_cast<double>(slice.last_step));
      series.y.push_back(share(slice.flipped, slice.compared));
      any = any || slice.compared > 0;
    }
    if (any && chart.series.size() < kFlipCurves) chart.series.push_back(std::move(series));
  }
  chart.legend = chart.series.size() > 1;
  chart.note = chart.series.size() == 1 ? chart.series[0].name + ", training" : "training";
  return chart.series.empty() ? "" : line_chart(chart);
}

/// Several maps over time behind one slider: the cells are redrawn from the numbers in a script element of
/// type JSON.
struct Moved {
  HeatMap last;  ///< what is drawn without a script, and printed
  std::vector<std::string> steps;
  std::vector<std::vector<int>> values;  ///< per mille, row by row
};

std::string moved_view(const Moved& view, const std::string& id) {
  std::string json = "{\"steps\":[";
  for (size_t i = 0; i < view.steps.size(); ++i) json += fmt::format("{}\"{}\"", i ? "," : "", view.steps[i]);
  json += "],\"values\":[";
  for (size_t i = 0; i < view.values.size(); ++i)
    json += fmt::format("{}[{}]", i ? "," : "", fmt::join(view.values[i], ","));
  json += "]}";
  const size_t end = view.steps.size() - 1;
  return fmt::format(
      "<div class=\"scrubbed\" id=\"{}\" data-whole=\"{:.0f}\">{}<div class=\"controls\" hidden><button "
      "type=\"button\" aria-label=\"Play "
      "{}\">Play</button><label><span>step</span> "
      "<input type=\"range\" min=\"0\" max=\"{}\" value=\"{}\" step=\"1\" aria-label=\"Training step of "
      "{}\"></label><output>{}</output></div>"
      "<script type=\"application/json\">{}</script></div>",
      id, 1000 * view.last.whole, heat_map(view.last), escape_html(view.last.title), end, end,
      escape_html(view.last.title), view.steps.back(), json);
}

std::string step_text(const RouteBin& slice) {
  return slice.first_step == slice.last_step ? fmt::format("{}", slice.last_step)
                                             : fmt::format("{}–{}", slice.first_step, slice.last_step);
}

void add_values(Moved& view, const std::vector<std::vector<double>>& values) {
  std::vector<int> flat;
  for (const auto& row : values) {
    for (const double value : row)
      flat.push_back(std::isfinite(value) ? static_cast<int>(std::lround(1000 * value)) : -1);
  }
  view.values.push_back(std::move(flat));
  view.last.values = values;
}

/// Every layer's load, step by step. Layers have the same slices: each decides at every step.
std::string moving_layers(const RunData& run, const std::string& id) {
  const auto& layers = run.routes->layers;
  size_t experts = 0, slices = std::numeric_limits<size_t>::max();
  for (const auto& layer : layers)
    experts = std::max(experts, static_cast<size_t>(layer.experts)),
    slices = std::min(slices, layer.bins.size());
  if (layers.empty() || slices < 2 || slices * layers.size() * experts > kMovedCells) return "";
  Moved view{{"Load of the experts over training",
              "",
              "layer",
              "expert",
              {},
              numbered("E", experts),
              {},
              false,
              Unit::kPercent,
              0,
              kPercentLetters},
             {},
             {}};
  for (const auto& layer : layers) view.last.rows.push_back(layer.name);
  for (size_t i = 0; i < slices; ++i) {
    std::vector<std::vector<double>> values;
    for (const auto& layer : layers) {
      values.emplace_back(experts, std::numeric_limits<double>::quiet_NaN());
      const auto& load = layer.bins[i].load;
      for (size_t e = 0; e < load.size(); ++e) {
        values.back()[e] = share(load[e], sum_of(load));
        if (std::isfinite(values.back()[e])) view.last.whole = std::max(view.last.whole, values.back()[e]);
      }
    }
    view.steps.push_back(step_text(layers[0].bins[i]));
    add_values(view, values);
  }
  return moved_view(view, id);
}

/// How the classes of one layer settle on experts: the share of each class that an expert serves.
std::string moving_affinity(const RunData& run, const LayerView& layer, const std::string& id) {
  const size_t classes =
      layer.bins.empty() || layer.bins.back().label.empty() ? 0 : layer.bins.back().label[0].size();
  if (classes == 0 || layer.bins.size() < 2 ||
      layer.bins.size() * static_cast<size_t>(layer.experts) * classes > kMovedCells)
    return "";
  Moved view{{fmt::format("{}: experts by class over training", layer.name),
              "",
              "expert",
              "class",
              numbered("E", static_cast<size_t>(layer.experts)),
              {},
              {},
              true,
              Unit::kPercent,
              1,
              kPercentLetters},
             {},
             {}};
  for (size_t c = 0; c < classes; ++c) view.last.columns.push_back(label_name(run, c));
  for (const auto& slice : layer.bins) {
    if (slice.label.empty()) continue;
    std::vector<std::vector<double>> values(slice.label.size(), std::vector<double>(classes));
    for (size_t c = 0; c < classes; ++c) {
      int64_t all = 0;
      for (const auto& row : slice.label) all += row[c];
      for (size_t e = 0; e < slice.label.size(); ++e) values[e][c] = share(slice.label[e][c], all);
    }
    view.steps.push_back(step_text(slice));
    add_values(view, values);
  }
  return moved_view(view, id);
}

/// What a run shows: the first maps of each kind in one grid, so that a network of one layer leaves no holes;
/// the others folded.
struct Figures {
  std::string open, folded;

  void add(const std::vector<std::string>& maps, const char* what) {
    std::string rest;
    size_t shown = 0, left_out = 0;
    for (const auto& map : maps) {
      if (map.empty()) continue;
      if (rest.size() + map.size() > kFolded_bytes)
        ++left_out;
      else
        (shown++ < kOpenMaps ? open : rest) += map;
    }
    if (left_out > 0)
      rest += fmt::format(
          "<p class=\"lead\">{} more are left out: <code>gatewright inspect --json</code> has their "
          "numbers.</p>",
          left_out);
    if (!rest.empty())
      folded += fmt::format(
          "<details class=\"more\"><summary>{}</summary><div class=\"grid\">{}</div></details>", what, rest);
  }
};

std::string run_routes(const RunData& run, size_t number) {
  const auto& layers = run.routes->layers;
  std::string body = "<h3>" + escape_html(run.label()) + "</h3>" + statistics(run);
  if (run.routes->end.lost_bytes > 0)
    body += fmt::format(
        "<p class=\"lead\">The recording ends early: {} bytes after the last whole record are lost.</p>",
        run.routes->end.lost_bytes);
  Figures figures{layer_map(run) + moving_layers(run, fmt::format("moved-{}-layers", number)), ""};
  for (size_t i = 0; i < layers.size() && i < kOpenMaps; ++i)
    figures.open += moving_affinity(run, layers[i], fmt::format("moved-{}-{}", number, i));
  figures.open += flip_chart(run);
  std::vector<std::string> affinity, loads, paths;
  for (size_t i = 0; i < layers.size(); ++i) {
    affinity.push_back(affinity_map(run, layers[i], RoutePurpose::kClean) +
                       affinity_map(run, layers[i], RoutePurpose::kAttacked));
    loads.push_back(load_map(layers[i]));
    paths.push_back(together_map(layers[i]));
    if (i + 1 < layers.size()) paths.push_back(onward_map(layers[i], layers[i + 1].name));
  }
  figures.add(affinity, "Experts by class in the other layers");
  figures.add(loads, "Load over time of the other layers");
  figures.add(paths, "Experts together, and from layer to layer, for the other layers");
  return body + "<div class=\"grid below\">" + figures.open + "</div>" + figures.folded;
}

/// Test samples whose route differs between recorded runs: seeds, arms or checkpoints of one network.
std::string differences(const std::vector<const RunData*>& runs) {
  Table table;
  table.caption = "Test samples whose experts differ between two runs";
  table.header = {"runs", "layer", "compared", "differ"};
  table.text_columns = {1};
  for (size_t a = 0; a < runs.size(); ++a) {
    for (size_t b = a + 1; b < runs.size(); ++b) {
      for (const auto& d : compare_routes(*runs[a]->routes, *runs[b]->routes)) {
        table.rows.push_back({escape_html(runs[a]->label() + " – " + runs[b]->label()), escape_html(d.layer),
                              fmt::format("{}", d.compared),
                              format_value(share(d.differ, d.compared), Unit::kPercent)});
      }
    }
  }
  return table.rows.empty() ? "" : render_table(table);
}

}  // namespace

bool records_classes(const RunData& run) {
  if (!run.routes) return false;
  const auto& layers = run.routes->layers;
  return std::any_of(layers.begin(), layers.end(), [](const LayerView& layer) {
    const auto found = layer.affinity.find({layer.shown_phase(), RoutePurpose::kClean});
    return found != layer.affinity.end() && !found->second.empty() && !found->second[0].empty();
  });
}

std::string route_section(const ReportData& data) {
  const auto recorded = [](const RunData& run) { return run.routes && !run.routes->layers.empty(); };
  std::string body;
  size_t number = 0;
  for (const RunData* run : data.first_of_arms(recorded)) body += run_routes(*run, number++);
  std::vector<const RunData*> all;
  for (const RunData& run : data.runs) {
    if (recorded(run) && all.size() < 12) all.push_back(&run);
  }
  return section("routes", "Recorded routes", kLead, body + differences(all));
}

}  // namespace gw::inline report
