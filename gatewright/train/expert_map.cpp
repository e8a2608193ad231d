#include "gatewright/train/expert_map.h"

#include <algorithm>
#include <cmath>
#include <list>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

constexpr size_t kMostMaps = size_t{1} << 20;

double slack(double budget) { return 1e-9 * std::max(1.0, std::abs(budget)); }

void check_prices(const std::vector<double>& price, double budget) {
  GW_CHECK(!price.empty(), "composition: expected at least one expert, got {}", price.size());
  for (const double p : price)
    GW_CHECK(p >= 0 && std::isfinite(p), "composition: expected prices of 0 or more, got {}", p);
  const double cheapest = *std::min_element(price.begin(), price.end());
  GW_CHECK(budget + slack(budget) >= cheapest,
           "composition: expected a budget of at least {}, the price of the cheapest expert, got {}; raise "
           "the budget, or add a cheaper expert",
           cheapest, budget);
}

/// Sums of an expert's qualities.
struct Moments {
  double count = 0, sum = 0, square = 0;
  void add(double q) { count += 1, sum += q, square += q * q; }
  /// As score_table says; `all` are those of all rows, at least one.
  double cautious_mean(const Moments& all, double caution, double prior) const {
    const double mean = all.sum / all.count, n = count + prior;
    if (n <= 0) return mean;
    const double mu = (sum + prior * mean) / n,
                 variance = (square + prior * all.square / all.count) / n - mu * mu;
    return mu - caution * std::sqrt(std::max(variance, 0.0) / n);
  }
};

/// A map of the first rows: what it adds to that of the rows before it.
struct PartialMap {
  double price = 0, score = 0;
  int64_t expert = -1;
  size_t before = 0;
};

/// Keeps what no cheaper or equally cheap map matches; of equals the first.
std::vector<PartialMap> without_dominated(std::vector<PartialMap> maps) {
  std::stable_sort(maps.begin(), maps.end(), [](const PartialMap& a, const PartialMap& b) {
    return a.price != b.price ? a.price < b.price : a.score > b.score;
  });
  std::vector<PartialMap> kept;
  for (const auto& map : maps)
    if (kept.empty() || map.score > kept.back().score) kept.push_back(map);
  return kept;
}

/// Layers of partial maps, the last one of whole maps.
std::vector<std::vector<PartialMap>> grown_maps(const ScoreTable& t, const std::vector<double>& price,
                                                double most_price) {
  const double cheapest = *std::min_element(price.begin(), price.end());
  double to_come = 0;
  for (const double share : t.share) to_come += share * cheapest;
  std::vector<std::vector<PartialMap>> layers{{PartialMap{}}};
  for (size_t r = 0; r < t.score.size(); ++r) {
    to_come -= t.share[r] * cheapest;
    std::vector<PartialMap> next;
    for (size_t b = 0; b < layers.back().size(); ++b) {
      const auto& before = layers.back()[b];
      for (size_t m = 0; m < price.size(); ++m) {
        const PartialMap map{before.price + t.share[r] * price[m], before.score + t.share[r] * t.score[r][m],
                             static_cast<int64_t>(m), b};
        if (map.price + to_come <= most_price + slack(most_price)) next.push_back(map);
      }
    }
    layers.push_back(without_dominated(std::move(next)));
    GW_CHECK(layers.back().size() <= kMostMaps,
             "composition: expected at most {} maps that no other dominates, got {}; take fewer categories, "
             "or prices that are multiples of one",
             kMostMaps, layers.back().size());
  }
  return layers;
}

}  // namespace

ScoreTable score_table(const std::vector<std::vector<double>>& quality, const std::vector<int64_t>& row,
                       int64_t rows, double caution, double prior) {
  GW_CHECK(!quality.empty() && quality.size() == row.size() && rows >= 1,
           "composition: expected measured questions with a row each, got {} and {}", quality.size(),
           row.size());
  const size_t experts = quality[0].size(), count = static_cast<size_t>(rows);
  ScoreTable table{std::vector<std::vector<double>>(count, std::vector<double>(experts, 0)),
                   std::vector<double>(count, 0), std::vector<int64_t>(count, 0)};
  for (const int64_t r : row) {
    GW_CHECK(r >= 0 && r < rows, "composition: expected rows below {}, got {}", rows, r);
    ++table.count[static_cast<size_t>(r)];
  }
  for (size_t r = 0; r < count; ++r)
    table.share[r] = static_cast<double>(table.count[r]) / static_cast<double>(quality.size());
  for (size_t m = 0; m < experts; ++m) {
    std::vector<Moments> of_row(count);
    Moments all;
    for (size_t q = 0; q < quality.size(); ++q) {
      of_row[static_cast<size_t>(row[q])].add(quality[q][m]);
      all.add(quality[q][m]);
    }
    for (size_t r = 0; r < count; ++r) table.score[r][m] = of_row[r].cautious_mean(all, caution, prior);
  }
  return table;
}

std::vector<ExpertMap> undominated_maps(const ScoreTable& table, const std::vector<double>& price,
                                        double most_price) {
  check_prices(price, most_price);
  GW_CHECK(!table.score.empty() && table.share.size() == table.score.size(),
           "composition: expected a score and a share for every category, got {} and {}", table.score.size(),
           table.share.size());
  for (const auto& row : table.score)
    GW_CHECK(row.size() == price.size(), "composition: expected {} scores in every row, got {}", price.size(),
             row.size());
  const auto layers = grown_maps(table, price, most_price);
  std::vector<ExpertMap> maps;
  for (const auto& last : layers.back()) {
    ExpertMap map{std::vector<int64_t>(table.score.size()), last.score, last.price};
    const auto* at = &last;
    for (size_t r = table.score.size(); r-- > 0; at = &layers[r][at->before]) map.expert[r] = at->expert;
    maps.push_back(std::move(map));
  }
  return maps;
}

ExpertMap best_map(const ScoreTable& table, const std::vector<double>& price, double budget) {
  return undominated_maps(table, price, budget).back();
}

SingleExpert best_single(const std::vector<std::vector<double>>& quality, const std::vector<double>& price,
                         double budget) {
  SingleExpert best;
  for (size_t m = 0; m < price.size(); ++m) {
    if (price[m] > budget + slack(budget)) continue;
    double sum = 0;
    for (const auto& of_question : quality) sum += of_question[m];
    const double mean = quality.empty() ? 0 : sum / static_cast<double>(quality.size());
    if (best.expert < 0 || mean > best.quality) best = {static_cast<int64_t>(m), mean};
  }
  return best;
}

double oracle_bound(const std::vector<std::vector<double>>& quality, const std::vector<double>& price,
                    double budget) {
  check_prices(price, budget);
  const auto at = [&](double lambda) {
    double sum = 0;
    for (const auto& of_question : quality) {
      double best = -1e300;
      for (size_t m = 0; m < price.size(); ++m)
        best = std::max(best, of_question[m] - lambda * (price[m] - budget));
      sum += best;
    }
    return sum / static_cast<double>(std::max<size_t>(quality.size(), 1));
  };
  double high = 1;  // doubled until the slope is positive; beyond it nothing is lower
  while (high < 1e12 && at(2 * high) < at(high)) high *= 2;
  double low = 0;
  high *= 2;
  for (int i = 0; i < 100; ++i) {
    const double left = low + (high - low) / 3, right = high - (high - low) / 3;
    if (at(left) <= at(right))
      high = right;
    else
      low = left;
  }
  return std::min(at((low + high) / 2), at(0));
}

double cache_hit_rate(const std::vector<int64_t>& calls, int64_t slots) {
  GW_CHECK(slots >= 1, "composition: expected at least one slot, got {}", slots);
  std::list<int64_t> recent;
  int64_t hits = 0;
  for (const int64_t call : calls) {
    const auto found = std::find(recent.begin(), recent.end(), call);
    if (found != recent.end()) {
      ++hits;
      recent.erase(found);
    }
    recent.push_front(call);
    if (static_cast<int64_t>(recent.size()) > slots) recent.pop_back();
  }
  return calls.empty() ? 0 : static_cast<double>(hits) / static_cast<double>(calls.size());
}

}  // namespace gw::inline train
