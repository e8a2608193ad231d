#include "gatewright/runs/route_view.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"

namespace gw::inline runs {
namespace {

constexpr int64_t kTokens = 1 << 24;  // of one decision: a hostile file may claim more than memory holds
constexpr int64_t kCells = 1 << 20, kMostSamples = 1 << 20, kBinnedExperts = 1 << 16;

std::vector<int64_t> numbers(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {tensor.data_ptr<int64_t>(), tensor.data_ptr<int64_t>() + tensor.numel()};
}

/// Makes room for rows × columns, or nothing where that is too much.
bool grow(RouteTable& table, int64_t rows, int64_t columns) {
  if (rows * columns > kCells) return false;
  table.resize(static_cast<size_t>(rows));
  for (auto& row : table) row.resize(std::max(row.size(), static_cast<size_t>(columns)), 0);
  return true;
}

RouteStats stats_of(const RouteDecision& d, int64_t experts, const std::vector<int32_t>& slots, int64_t k) {
  RouteStats stats;
  stats.tokens = d.tokens;
  stats.load.resize(static_cast<size_t>(experts), 0);
  for (const int32_t e : d.expert) ++stats.load[static_cast<size_t>(e)];
  for (size_t t = 0; t < slots.size(); t += static_cast<size_t>(k)) stats.dropped += slots[t] < 0 ? 1 : 0;
  return stats;
}

/// Experts of each token [T, k]; the rows of a decision are sorted by expert, so each token's are ascending.
std::vector<int32_t> slots_of(const RouteDecision& d, int64_t& k) {
  std::vector<int32_t> used(static_cast<size_t>(d.tokens), 0);
  k = 1;
  for (const int32_t t : d.token) k = std::max<int64_t>(k, ++used[static_cast<size_t>(t)]);
  std::vector<int32_t> slots(static_cast<size_t>(d.tokens * k), -1);
  std::fill(used.begin(), used.end(), 0);
  for (size_t row = 0; row < d.expert.size(); ++row) {
    const auto t = static_cast<size_t>(d.token[row]);
    slots[t * static_cast<size_t>(k) + static_cast<size_t>(used[t]++)] = d.expert[row];
  }
  return slots;
}

std::vector<int32_t> experts_of(const std::vector<int32_t>& slots, int64_t k, size_t token) {
  std::vector<int32_t> out;
  for (size_t i = token * static_cast<size_t>(k); i < (token + 1) * static_cast<size_t>(k) && slots[i] >= 0;
       ++i)
    out.push_back(slots[i]);
  return out;
}

void merge(RouteBin& into, const RouteBin& from) {
  into.last_step = from.last_step;
  for (size_t e = 0; e < into.load.size(); ++e) into.load[e] += from.load[e];
  into.compared += from.compared, into.flipped += from.flipped;
  if (into.label.empty()) into.label.resize(from.label.size());
  for (size_t e = 0; e < from.label.size(); ++e) {
    into.label[e].resize(std::max(into.label[e].size(), from.label[e].size()), 0);
    for (size_t c = 0; c < from.label[e].size(); ++c) into.label[e][c] += from.label[e][c];
  }
}

/// Slices of `width` steps.
void rebin(std::vector<RouteBin>& bins, int64_t width) {
  std::vector<RouteBin> wide;
  for (auto& slice : bins) {
    const bool same = !wide.empty() && (wide.back().first_step - 1) / width == (slice.first_step - 1) / width;
    if (same)
      merge(wide.back(), slice);
    else
      wide.push_back(std::move(slice));
  }
  bins = std::move(wide);
}

}  // namespace

RoutePhase LayerView::shown_phase() const {
  for (const auto phase : {RoutePhase::kTest, RoutePhase::kValidation, RoutePhase::kTrain}) {
    if (stats.count({phase, RoutePurpose::kClean}) > 0) return phase;
  }
  return RoutePhase::kInference;
}

void RouteTally::frame(const RouteFrame& frame) {
  close();
  here_ = frame;
  open_ = true;
  labels_ = numbers(frame.labels), index_ = numbers(frame.index);
  for (const int64_t label : labels_) classes_ = std::max(classes_, std::min(label, kCells) + 1);
  ++view_.batches;
  if (frame.phase == RoutePhase::kTrain) view_.train_steps = std::max(view_.train_steps, frame.step);
}

/// The slice of the present step; slices double their width when there are too many.
RouteBin* RouteTally::bin(size_t layer) {
  auto& bins = view_.layers[layer].bins;
  auto& width = width_[layer];
  if (width == 0 || here_.phase != RoutePhase::kTrain) return nullptr;
  const auto slice = [&](int64_t step) { return (step - 1) / width; };
  if (!bins.empty() && slice(bins.back().first_step) >= slice(here_.step)) {
    bins.back().last_step = std::max(bins.back().last_step, here_.step);
    return &bins.back();
  }
  bins.push_back({here_.step,
                  here_.step,
                  std::vector<int64_t>(static_cast<size_t>(view_.layers[layer].experts), 0),
                  {},
                  0,
                  0});
  if (bins.size() > 2 * kRouteBins) rebin(bins, width *= 2);
  return &bins.back();
}

void RouteTally::count_labels(size_t at, const RouteDecision& d) {
  auto& layer = view_.layers[at];
  if (static_cast<int64_t>(labels_.size()) != d.tokens || layer.experts * classes_ > kCells) return;
  const auto add = [&](RouteTable& table) {
    if (!grow(table, layer.experts, classes_)) return;
    for (size_t row = 0; row < d.expert.size(); ++row) {
      const auto label = std::min(labels_[static_cast<size_t>(d.token[row])], classes_ - 1);
      ++table[static_cast<size_t>(d.expert[row])][static_cast<size_t>(label)];
    }
  };
  add(layer.affinity[{here_.phase, d.purpose}]);
  if (auto* slice = bin(at); slice != nullptr && d.purpose == RoutePurpose::kClean) add(slice->label);
}

void RouteTally::count_pairs(LayerView& layer, const Seen& seen) {
  if (seen.k < 2 || !grow(layer.together[here_.phase], layer.experts, layer.experts)) return;
  auto& table = layer.together[here_.phase];
  for (size_t t = 0; t < seen.slots.size() / static_cast<size_t>(seen.k); ++t) {
    const auto experts = experts_of(seen.slots, seen.k, t);
    for (const int32_t a : experts) {
      for (const int32_t b : experts) table[static_cast<size_t>(a)][static_cast<size_t>(b)] += a != b ? 1 : 0;
    }
  }
}

void RouteTally::remember(LayerView& layer, const Seen& seen) {
  if (here_.phase != RoutePhase::kTest || static_cast<int64_t>(index_.size() * static_cast<size_t>(seen.k)) !=
                                              static_cast<int64_t>(seen.slots.size()))
    return;
  for (size_t t = 0; t < index_.size() && static_cast<int64_t>(layer.sample.size()) < kMostSamples; ++t)
    layer.sample[index_[t]] = experts_of(seen.slots, seen.k, t);
}

void RouteTally::decision(const RouteSite& site, const RouteDecision& d) {
  if (d.purpose == RoutePurpose::kSearch) return;
  if (!open_) frame({});
  GW_CHECK(d.tokens <= kTokens, "routes: expected at most {} tokens in a decision, got {}", kTokens,
           d.tokens);
  const auto found = std::find_if(view_.layers.begin(), view_.layers.end(), [&](const LayerView& l) {
    return l.name == site.name && l.experts == site.experts;
  });
  const auto at = static_cast<size_t>(found - view_.layers.begin());
  if (found == view_.layers.end()) {
    view_.layers.emplace_back();
    view_.layers.back().name = site.name, view_.layers.back().experts = site.experts;
    const bool fits = binned_ + site.experts <= kBinnedExperts;
    binned_ += fits ? site.experts : 0;
    width_.push_back(fits ? 1 : 0);
  }
  auto& layer = view_.layers[at];
  Seen seen{at, d.purpose, 1, {}};
  seen.slots = slots_of(d, seen.k);
  layer.stats[{here_.phase, d.purpose}].add(stats_of(d, layer.experts, seen.slots, seen.k));
  if (auto* slice = bin(at); slice != nullptr && d.purpose == RoutePurpose::kClean) {
    for (const int32_t e : d.expert) ++slice->load[static_cast<size_t>(e)];
  }
  count_labels(at, d);
  if (d.purpose == RoutePurpose::kClean) count_pairs(layer, seen), remember(layer, seen);
  seen_.push_back(std::move(seen));
}

void RouteTally::compare(const Seen& clean, const Seen& attacked) {
  const int64_t tokens = static_cast<int64_t>(clean.slots.size()) / clean.k;
  if (tokens != static_cast<int64_t>(attacked.slots.size()) / attacked.k) return;
  auto& layer = view_.layers[clean.layer];
  int64_t flipped = 0;
  for (size_t t = 0; t < static_cast<size_t>(tokens); ++t)
    flipped += experts_of(clean.slots, clean.k, t) != experts_of(attacked.slots, attacked.k, t) ? 1 : 0;
  auto& sums = layer.flips[here_.phase];
  sums.first += tokens, sums.second += flipped;
  if (auto* slice = bin(clean.layer)) slice->compared += tokens, slice->flipped += flipped;
}

void RouteTally::count_onward(const Seen& from, const Seen& to) {
  const size_t tokens = from.slots.size() / static_cast<size_t>(from.k);
  if (tokens != to.slots.size() / static_cast<size_t>(to.k)) return;
  auto& layer = view_.layers[from.layer];
  auto& table = layer.onward[here_.phase];
  if (!grow(table, layer.experts, view_.layers[to.layer].experts)) return;
  for (size_t t = 0; t < tokens; ++t) {
    for (const int32_t a : experts_of(from.slots, from.k, t)) {
      for (const int32_t b : experts_of(to.slots, to.k, t))
        ++table[static_cast<size_t>(a)][static_cast<size_t>(b)];
    }
  }
}

/// The batch is complete: what its passes did to the same samples is compared.
void RouteTally::close() {
  const Seen* before = nullptr;
  for (const auto& seen : seen_) {
    if (seen.purpose == RoutePurpose::kClean) {
      const bool next = before != nullptr && before->layer + 1 == seen.layer;
      if (next) count_onward(*before, seen);
      before = &seen;
      continue;
    }
    const auto clean = std::find_if(seen_.begin(), seen_.end(), [&](const Seen& s) {
      return s.layer == seen.layer && s.purpose == RoutePurpose::kClean;
    });
    if (clean != seen_.end()) compare(*clean, seen);
  }
  seen_.clear();
}

RouteView RouteTally::finish() {
  close();
  for (size_t i = 0; i < view_.layers.size(); ++i) {
    auto& layer = view_.layers[i];
    for (auto& item : layer.affinity)
      grow(item.second, layer.experts, classes_);  // a class may have come after a batch without it
    while (layer.bins.size() > kRouteBins) rebin(layer.bins, width_[i] *= 2);
    for (auto& slice : layer.bins) {
      if (!slice.label.empty()) grow(slice.label, layer.experts, classes_);
    }
  }
  return std::move(view_);
}

std::string route_label(const RouteView& view, size_t label) {
  const auto names = view.about.is_object() ? view.about.value("class_names", Json()) : Json();
  const bool named = names.is_array() && label < names.size() && names[label].is_string();
  return named ? names[label].get<std::string>() : fmt::format("class {}", label);
}

RouteView read_routes(const std::string& path) {
  RecordingReader reader(path);
  RouteTally tally;
  for (auto item = reader.next(); item != RecordingReader::Item::kEnd; item = reader.next()) {
    if (item == RecordingReader::Item::kFrame)
      tally.frame(reader.frame());
    else
      tally.decision(reader.site(), reader.decision());
  }
  auto view = tally.finish();
  view.about = reader.about();
  view.end = reader.ending();
  return view;
}

RoutingPlan TallyTap::decide(const RouteQuery& query) {
  auto plan = query.chosen();
  if (query.soft) return plan;
  const std::vector<RouteSite> site{{query.site, plan.experts()}};
  tally_.decision(site[0], decode_decision(encode_decision(0, query.purpose, plan, {}), site));
  return plan;
}

std::vector<RouteDifference> compare_routes(const RouteView& a, const RouteView& b) {
  std::vector<RouteDifference> out;
  for (const auto& layer : a.layers) {
    const auto other = std::find_if(b.layers.begin(), b.layers.end(), [&](const LayerView& l) {
      return l.name == layer.name && l.experts == layer.experts;
    });
    if (other == b.layers.end()) continue;
    RouteDifference difference{layer.name, 0, 0};
    for (const auto& [index, experts] : layer.sample) {
      const auto found = other->sample.find(index);
      if (found == other->sample.end()) continue;
      ++difference.compared;
      difference.differ += found->second != experts ? 1 : 0;
    }
    if (difference.compared > 0) out.push_back(difference);
  }
  return out;
}

namespace {

Json stats_json(const std::pair<RoutePhase, RoutePurpose>& key, const RouteStats& s) {
  return {{"phase", route_phase_name(key.first)},
          {"purpose", route_purpose_name(key.second)},
          {"tokens", s.tokens},
          {"rows", s.rows()},
          {"dropped", s.dropped},
          {"max_over_mean", s.max_over_mean()},
          {"variation", s.variation()},
          {"entropy", s.entropy()},
          {"dead", s.dead()},
          {"load", s.load}};
}

Json layer_json(const LayerView& layer) {
  Json one{{"layer", layer.name},
           {"experts", layer.experts},
           {"stats", Json::array()},
           {"flips", Json::object()},
           {"load_over_time", Json::array()}};
  for (const auto& [key, stats] : layer.stats) one["stats"].push_back(stats_json(key, stats));
  for (const auto& [phase, counts] : layer.flips) {
    one["flips"][route_phase_name(phase)] = {{"compared", counts.first}, {"flipped", counts.second}};
  }
  for (const auto& [key, table] : layer.affinity)
    one["affinity"][route_phase_name(key.first)][route_purpose_name(key.second)] = table;
  for (const auto& [phase, table] : layer.together) one["together"][route_phase_name(phase)] = table;
  for (const auto& [phase, table] : layer.onward) one["onward"][route_phase_name(phase)] = table;
  for (const auto& slice : layer.bins) {
    one["load_over_time"].push_back({{"first_step", slice.first_step},
                                     {"last_step", slice.last_step},
                                     {"load", slice.load},
                                     {"compared", slice.compared},
                                     {"flipped", slice.flipped}});
  }
  return one;
}

}  // namespace

Json to_json(const RouteView& view) {
  static constexpr const char* kEnds[] = {"whole", "cut", "damaged"};
  Json layers = Json::array();
  for (const auto& layer : view.layers) layers.push_back(layer_json(layer));
  const Json recording{{"end", kEnds[static_cast<size_t>(view.end.kind)]},
                       {"good_bytes", view.end.good_bytes},
                       {"lost_bytes", view.end.lost_bytes}};
  return {{"about", view.about},
          {"train_steps", view.train_steps},
          {"batches", view.batches},
          {"layers", layers},
          {"recording", recording}};
}

}  // namespace gw::inline runs
