#include "gatewright/runs/route_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"

namespace gw::inline runs {
namespace {

constexpr int64_t kHistogramSteps = 10;   // a histogram is 700 bytes, a scalar 60
constexpr int64_t kPrometheusSteps = 50;  // each is a flush to disk

struct Gauges {
  double tokens = 0, dropped = 0, experts = 0, dead = 0, max_over_mean = 0, variation = 0, entropy = 1;
};

Gauges gauges_of(const LayerRoutes& routes) {
  const auto& w = routes.window;
  return {static_cast<double>(routes.total.tokens),
          static_cast<double>(routes.total.dropped),
          static_cast<double>(w.load.size()),
          static_cast<double>(w.dead()),
          w.max_over_mean(),
          w.variation(),
          w.entropy()};
}

Gauges worst(const Gauges& a, const Gauges& b) {
  return {a.tokens + b.tokens,
          a.dropped + b.dropped,
          a.experts + b.experts,
          a.dead + b.dead,
          std::max(a.max_over_mean, b.max_over_mean),
          std::max(a.variation, b.variation),
          std::min(a.entropy, b.entropy)};
}

std::string label(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '\\' || c == '"') safe += '\\';
    safe += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return safe;
}

}  // namespace

std::string prometheus_text(const std::vector<LayerRoutes>& layers, const char* window) {
  struct Row {
    std::string labels;
    Gauges gauges;
  };
  std::vector<Row> rows;
  std::map<RoutePhase, std::pair<size_t, size_t>>
      seen;  // layers of the phase so far, and the row of its "other"
  for (const auto& layer : layers) {
    const auto gauges = gauges_of(layer);
    auto& [count, other] = seen[layer.phase];
    if (++count > kPrometheusLayers + 1) {
      rows[other].gauges = worst(rows[other].gauges, gauges);
      continue;
    }
    if (count == kPrometheusLayers + 1) other = rows.size();
    const std::string name = count > kPrometheusLayers ? "other" : label(layer.layer);
    rows.push_back({fmt::format("layer=\"{}\",phase=\"{}\"", name, route_phase_name(layer.phase)), gauges});
  }
  std::string text;
  const auto series = [&](const char* name, const char* type, const char* help, double Gauges::*value) {
    text +=
        fmt::format("# HELP gatewright_route_{} {}\n# TYPE gatewright_route_{} {}\n", name, help, name, type);
    const auto more = type[0] == 'g' ? fmt::format(",window=\"{}\"", window) : std::string();
    for (const auto& row : rows)
      text += fmt::format("gatewright_route_{}{{{}{}}} {:.12g}\n", name, row.labels, more, row.gauges.*value);
  };
  series("tokens_total", "counter", "Tokens of clean batches that the layer routed in this phase of the run.",
         &Gauges::tokens);
  series("dropped_tokens_total", "counter", "Tokens of clean batches that no expert served.",
         &Gauges::dropped);
  series("experts", "gauge", "Experts of the layer.", &Gauges::experts);
  series("dead_experts", "gauge", "Experts without a row in the window.", &Gauges::dead);
  series("load_max_over_mean", "gauge", "Largest load over mean load: 1 when even.", &Gauges::max_over_mean);
  series("load_variation", "gauge", "Standard deviation of the load over its mean: 0 when even.",
         &Gauges::variation);
  series("load_entropy", "gauge",
         "Entropy of the load over the logarithm of the number of experts: 1 when even.", &Gauges::entropy);
  return text;
}

void RouteExporter::add(const RouteSummary& summary) {
  if (summary.phase != RoutePhase::kTrain || summary.purpose != RoutePurpose::kClean) return;
  auto [entry, fresh] =
      layers_.try_emplace(summary.site, LayerRoutes{summary.site, {}, {}, RoutePhase::kTrain});
  if (fresh) order_.push_back(summary.site);
  if (std::exchange(written_[summary.site], false)) entry->second.window = {};
  entry->second.window.add(summary.stats);
  entry->second.total.add(summary.stats);
  if (auto* events = directory_.events()) {
    const auto& s = summary.stats;
    const double now = directory_.wall_time_s();
    const auto scalar = [&](const char* what, double value) {
      events->scalar(now, summary.step, fmt::format("routes/{}/{}", summary.site, what),
                     static_cast<float>(value));
    };
    scalar("max_over_mean", s.max_over_mean());
    scalar("variation", s.variation());
    scalar("entropy", s.entropy());
    scalar("dead_experts", static_cast<double>(s.dead()));
    scalar("dropped_tokens", static_cast<double>(s.dropped));
    if (summary.step % kHistogramSteps == 0)
      events->histogram(now, summary.step, fmt::format("routes/{}/load", summary.site),
                        {s.load.begin(), s.load.end()});
  }
  if (summary.step >= written_step_ + kPrometheusSteps && summary.site == order_.back())
    write(), written_step_ = summary.step;
}

void RouteExporter::write() {
  if (order_.empty()) return;
  std::vector<LayerRoutes> layers;
  for (const auto& name : order_) layers.push_back(layers_.at(name));
  write_atomic(directory_.file(kPrometheusFile), prometheus_text(layers, "latest"));
  for (const auto& name : order_) written_[name] = true;
}

Json RouteExporter::state() const {
  Json layers = Json::array();
  for (const auto& name : order_) {
    const auto& [layer, window, total, phase] = layers_.at(name);
    const auto told = written_.find(name);
    layers.push_back(
        {{"layer", layer},
         {"told", told != written_.end() && told->second},
         {"window", {{"tokens", window.tokens}, {"dropped", window.dropped}, {"load", window.load}}},
         {"total", {{"tokens", total.tokens}, {"dropped", total.dropped}}}});
  }
  return layers.empty() ? Json() : Json{{"step", written_step_}, {"layers", layers}};
}

void RouteExporter::go_on(const Json& state) {
  layers_.clear(), order_.clear(), written_.clear(), written_step_ = 0;
  if (state.is_null()) return;
  try {
    written_step_ = state.at("step");
    for (const auto& json : state.at("layers")) {
      const std::string name = json.at("layer");
      const auto &window = json.at("window"), &total = json.at("total");
      LayerRoutes layer{name, {}, {}, RoutePhase::kTrain};
      layer.window = {window.at("tokens"), window.at("dropped"),
                      window.at("load").get<std::vector<int64_t>>()};
      layer.total.tokens = total.at("tokens"), layer.total.dropped = total.at("dropped");
      layers_[name] = std::move(layer), written_[name] = json.at("told"), order_.push_back(name);
    }
  } catch (const JsonError&) {
    fail(
        "checkpoint: expected the counts of every layer that routes, got something else; the checkpoint is "
        "damaged");
  }
}

}  // namespace gw::inline runs
