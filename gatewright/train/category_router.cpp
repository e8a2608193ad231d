#include "gatewright/train/category_router.h"

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

uint64_t hash_of(std::string_view run) {
  uint64_t hash = 14695981039346656037ull;  // FNV-1a
  for (const char c : run) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash ^ (hash >> 29);
}

/// Doubt of votes, which sum to 1, and the neighbours' mean cosine.
double doubt_of(const std::string& kind, const std::vector<double>& votes, double cosine) {
  if (kind == "distance") return 1 - cosine;
  if (kind == "margin") {
    auto sorted = votes;
    std::sort(sorted.rbegin(), sorted.rend());
    return 1 - (sorted[0] - (sorted.size() > 1 ? sorted[1] : 0));
  }
  double entropy = 0;
  for (const double p : votes) entropy -= p > 0 ? p * std::log(p) : 0;
  return votes.size() > 1 ? entropy / std::log(static_cast<double>(votes.size())) : 0;
}

}  // namespace

void CategoryRouterOptions::fields(OptionVisitor& v) {
  v.integer("width", width, "places that runs of bytes are hashed to", 16, 1 << 20);
  v.integer("shortest", shortest, "bytes of the shortest run", 1, 64);
  v.integer("longest", longest, "bytes of the longest run", 1, 64);
  v.integer("neighbours", neighbours, "known texts that vote", 1, 100000);
  v.text("doubt", doubt, "what makes a text unsure", {"entropy", "margin", "distance"});
  v.real("unsure", unsure, "share of the known texts that count as unsure", 0, 1);
}

TextVectors::TextVectors(const std::vector<std::string>& known, const CategoryRouterOptions& o)
    : width_(o.width), shortest_(o.shortest), longest_(o.longest) {
  GW_CHECK(shortest_ <= longest_, "category router: expected shortest ≤ longest, got {} and {}", shortest_,
           longest_);
  std::vector<double> holders(static_cast<size_t>(width_), 0);
  for (const auto& text : known)
    for (const auto& item : counts(text)) holders[static_cast<size_t>(item.first)] += 1;
  const auto all = static_cast<double>(known.size());
  for (const double n : holders) weight_.push_back(std::log((1 + all) / (1 + n)) + 1);
}

TextVectors::Sparse TextVectors::counts(std::string_view text) const {
  std::vector<int32_t> places;
  for (int64_t n = shortest_; n <= longest_; ++n) {
    const auto run = static_cast<size_t>(n);
    for (size_t at = 0; at + run <= text.size(); ++at)
      places.push_back(static_cast<int32_t>(hash_of(text.substr(at, run)) % static_cast<uint64_t>(width_)));
  }
  std::sort(places.begin(), places.end());
  Sparse found;
  for (const int32_t place : places) {
    if (found.empty() || found.back().first != place) found.emplace_back(place, 0);
    found.back().second += 1;
  }
  return found;
}

TextVectors::Sparse TextVectors::of(std::string_view text) const {
  auto vector = counts(text);
  double square = 0;
  for (auto& [place, value] : vector) {
    value = std::log1p(value) * weight_[static_cast<size_t>(place)];
    square += value * value;
  }
  for (auto& item : vector) item.second /= std::sqrt(square);
  return vector;
}

CategoryRouter::CategoryRouter(const std::vector<std::string>& texts, const std::vector<int64_t>& category,
                               int64_t categories, const CategoryRouterOptions& options)
    : options_(options), vectors_(texts, options), category_(category), categories_(categories) {
  GW_CHECK(!texts.empty() && texts.size() == category.size(),
           "category router: expected texts with a category each, got {} and {}", texts.size(),
           category.size());
  for (const int64_t c : category)
    GW_CHECK(c >= 0 && c < categories, "category router: expected categories below {}, got {}", categories,
             c);
  texts_with_.resize(static_cast<size_t>(options.width));
  for (size_t t = 0; t < texts.size(); ++t) {
    known_.push_back(vectors_.of(texts[t]));
    for (const auto& [place, value] : known_.back())
      texts_with_[static_cast<size_t>(place)].emplace_back(static_cast<int32_t>(t), value);
  }
  std::vector<double> doubt;
  for (size_t t = 0; t < known_.size(); ++t) doubt.push_back(vote(known_[t], static_cast<int64_t>(t)).doubt);
  std::sort(doubt.begin(), doubt.end());
  const auto sure = static_cast<size_t>(std::ceil((1 - options.unsure) * static_cast<double>(doubt.size())));
  threshold_ = sure == 0 ? -1 : doubt[std::min(sure, doubt.size()) - 1];
}

CategoryRouter::Routed CategoryRouter::vote(const TextVectors::Sparse& vector, int64_t left_out) const {
  std::vector<double> cosine(category_.size(), 0);
  for (const auto& [place, value] : vector)
    for (const auto& [text, known] : texts_with_[static_cast<size_t>(place)])
      cosine[static_cast<size_t>(text)] += value * known;
  std::vector<int64_t> order;
  for (int64_t t = 0; t < static_cast<int64_t>(cosine.size()); ++t)
    if (t != left_out) order.push_back(t);
  const auto count = std::min(order.size(), static_cast<size_t>(options_.neighbours));
  const auto nearer = [&](int64_t a, int64_t b) {
    const double x = cosine[static_cast<size_t>(a)], y = cosine[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(), nearer);
  std::vector<double> votes(static_cast<size_t>(categories_), 0);
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto t = static_cast<size_t>(order[i]);
    votes[static_cast<size_t>(category_[t])] += cosine[t], sum += cosine[t];
  }
  Routed routed;
  routed.category = std::max_element(votes.begin(), votes.end()) - votes.begin();
  for (auto& p : votes) p = sum > 0 ? p / sum : 1 / static_cast<double>(votes.size());
  routed.doubt = doubt_of(options_.doubt, votes, count > 0 ? sum / static_cast<double>(count) : 0);
  return routed;
}

CategoryRouter::Routed CategoryRouter::route(std::string_view text) const {
  auto routed = vote(vectors_.of(text), -1);
  routed.unsure = routed.doubt > threshold_;
  return routed;
}

}  // namespace gw::inline train
