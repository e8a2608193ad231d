#pragma once
// Which expert serves which category when every question has a price: scores, the exact choice under a
// budget, what no routing could beat, and what a cache of experts saves.
#include <cstdint>
#include <vector>

namespace gw::inline train {

/// Scores of experts by category: [rows][experts], with how often each category is asked.
struct ScoreTable {
  std::vector<std::vector<double>> score;
  std::vector<double> share;  ///< [rows], sums to 1
  std::vector<int64_t> count;
};

/// Scores out of measured qualities.
/// Math:   of expert m in row r with n questions: mean μ = (Σ q + prior · μ_m) / (n + prior), μ_m the
/// expert's
///         mean over all rows, s² likewise; score = μ − caution · s / √(n + prior). A row without questions
///         has what the expert is worth on average.
/// Shapes: quality [questions][experts], row [questions] in 0 … rows − 1.
/// Errors: ValueError for no questions, lists of unequal length, and rows out of range.
ScoreTable score_table(const std::vector<std::vector<double>>& quality, const std::vector<int64_t>& row,
                       int64_t rows, double caution, double prior);

/// A category → expert map, with its mean score and mean price.
struct ExpertMap {
  std::vector<int64_t> expert;  ///< [rows]
  double score = 0, price = 0;
};

/// All maps that no cheaper one matches, of rising price and score, up to `most_price`: the exact optimum for
/// every budget. Of maps of equal score the cheapest is kept, of equal price as well one, always the same.
/// Math:   max Σ_r share_r · score[r][a(r)] subject to Σ_r share_r · price[a(r)] ≤ budget, by adding rows one
///         after the other to the maps that are not dominated.
/// Errors: ValueError for shapes that do not fit, prices below 0 or not finite, and a budget below the
///         cheapest expert; and beyond a million maps that no other dominates.
std::vector<ExpertMap> undominated_maps(const ScoreTable& table, const std::vector<double>& price,
                                        double most_price);
/// The last of them. Errors: as there.
ExpertMap best_map(const ScoreTable& table, const std::vector<double>& price, double budget);

/// The best expert for everything with a price of at most `budget`, and its mean quality.
struct SingleExpert {
  int64_t expert = -1;  ///< -1: none is so cheap
  double quality = 0;
};
SingleExpert best_single(const std::vector<std::vector<double>>& quality, const std::vector<double>& price,
                         double budget);

/// An upper bound on the mean quality of any routing, question by question and with hindsight, whose mean
/// price is within the budget.
/// Math:   min over λ ≥ 0 of λ · budget + mean_q max_m (quality[q][m] − λ · price[m]), which is convex in λ.
/// Errors: as best_map.
double oracle_bound(const std::vector<std::vector<double>>& quality, const std::vector<double>& price,
                    double budget);

/// Share of the calls that find their expert among the `slots` last used ones (LRU), the first call of each
/// included. Errors: ValueError for slots < 1.
double cache_hit_rate(const std::vector<int64_t>& calls, int64_t slots);

}  // namespace gw::inline train
