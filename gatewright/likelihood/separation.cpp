#include "gatewright/likelihood/separation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/likelihood/linear_algebra.h"

namespace gw::likelihood {
namespace {

using Vector = std::vector<double>;

constexpr double kZero = 1e-7;        // of contrasts and directions of length 1
constexpr double kUnseen = 1e-10;     // share of the largest eigenvalue below which a direction is not seen
constexpr int kTriesPerUnknown = 20;  // exchanges of the active set; a few per unknown are usual

double dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// Unit contrasts of each row's class with all others. Equal rows give equal ones, kept once: only their
/// directions matter.
/// `every`: of the rows, one in so many.
std::vector<Vector> contrasts(const MixtureSpec& spec, const Design& design, int64_t every) {
  const size_t width = design.input.size() + 1, outputs = static_cast<size_t>(spec.outputs());
  std::vector<Vector> list;
  for (int64_t row = 0; row < design.rows; row += every) {
    if (design.weight[row] == 0) continue;
    const auto own = static_cast<size_t>(design.y[row]);
    for (size_t other = 0; other <= outputs; ++other) {
      if (other == own) continue;
      auto& contrast = list.emplace_back(outputs * width, 0.0);
      for (size_t j = 0; j < width; ++j) {
        const double value = j == 0 ? 1 : design.input[j - 1][row];
        if (own < outputs) contrast[own * width + j] = value;
        if (other < outputs) contrast[other * width + j] = -value;
      }
      const double length = std::sqrt(dot(contrast, contrast));
      for (auto& value : contrast) value /= length;
    }
  }
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  return list;
}

/// What is left of `target` after the best combination of the chosen contrasts; `share`: its coefficients.
Vector residual(const std::vector<Vector>& list, const std::vector<size_t>& chosen, const Vector& target,
                Vector& share) {
  std::vector<Vector> columns;
  for (const size_t i : chosen) columns.push_back(list[i]);
  share = chosen.empty() ? Vector{} : least_squares_by_columns(columns, target);
  Vector rest = target;
  for (size_t k = 0; k < chosen.size(); ++k) {
    for (size_t i = 0; i < rest.size(); ++i) rest[i] -= share[k] * columns[k][i];
  }
  return rest;
}

/// Takes out of the active set what would get a negative coefficient, stepping from `from` towards the
/// solution (Lawson and Hanson 1974).
Vector feasible_residual(const std::vector<Vector>& list, std::vector<size_t>& chosen, Vector& from,
                         const Vector& target) {
  while (true) {
    Vector to;
    auto rest = residual(list, chosen, target, to);
    double step = 1;
    for (size_t k = 0; k < to.size(); ++k) {
      if (to[k] <= 0) step = std::min(step, from[k] / (from[k] - to[k]));
    }
    for (size_t k = 0; k < to.size(); ++k) from[k] += step * (to[k] - from[k]);
    if (step == 1 && std::all_of(to.begin(), to.end(), [](double value) { return value > 0; })) return rest;
    double least = *std::min_element(from.begin(), from.end());
    for (size_t k = from.size(); k-- > 0;) {
      if (from[k] <= std::max(least, 1e-15))
        chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(k)),
            from.erase(from.begin() + static_cast<std::ptrdiff_t>(k));
    }
  }
}

/// A direction of length 1 along which no contrast falls and some rise; empty if there is none.
Vector direction_of_recession(const std::vector<Vector>& list) {
  const size_t size = list.front().size();
  Vector mean(size, 0.0), share;
  for (const auto& contrast : list) {
    for (size_t i = 0; i < size; ++i) mean[i] += contrast[i] / static_cast<double>(list.size());
  }
  std::vector<size_t> chosen;
  Vector rest = mean;
  for (size_t tries = 0; tries < kTriesPerUnknown * (size + 1); ++tries) {
    const double length = std::sqrt(dot(rest, rest));
    if (length < 1e-14) return {};
    for (auto& value : rest) value /= length;
    size_t lowest = 0;
    double least = 0, most = 0;
    for (size_t i = 0; i < list.size(); ++i) {
      const double along = dot(list[i], rest);
      most = std::max(most, along);
      if (along < least) least = along, lowest = i;
    }
    if (least > -kZero) return most > kZero ? rest : Vector{};
    // The combination is of -contrast: target - Σ share (-contrast) = mean + Σ share contrast.
    if (std::find(chosen.begin(), chosen.end(), lowest) != chosen.end())
      return {};  // rounding: no further progress
    chosen.push_back(lowest), share.push_back(0);
    Vector negative = mean;
    for (auto& value : negative) value = -value;
    rest = feasible_residual(list, chosen, share, negative);
    for (auto& value : rest) value = -value;
  }
  return {};
}

/// Orthonormal directions that none of the contrasts sees.
std::vector<Vector> unseen(const std::vector<Vector>& list, size_t size) {
  Matrix sums(size * size, 0.0);
  for (const auto& contrast : list) {
    for (size_t i = 0; i < size * size; ++i) sums[i] += contrast[i / size] * contrast[i % size];
  }
  const auto pairs = eigen_pairs(sums, static_cast<int64_t>(size));
  std::vector<Vector> result;
  for (size_t k = 0; k < size && pairs.values[k] <= kUnseen * std::max(1.0, pairs.values.back()); ++k) {
    auto& direction = result.emplace_back(size);
    for (size_t i = 0; i < size; ++i) direction[i] = pairs.vectors[i * size + k];
  }
  return result;
}

/// A direction and the contrasts that it tells apart; later directions may lower those of earlier rounds.
struct Round {
  Vector direction;
  std::vector<Vector> apart;
};

Vector step_to_limit(const std::vector<Round>& rounds, size_t size) {
  constexpr double kApart = 40;
  Vector step(size, 0.0);
  for (auto round = rounds.rbegin(); round != rounds.rend(); ++round) {
    double length = 0;
    for (const auto& contrast : round->apart)
      length = std::max(length, (kApart - dot(contrast, step)) / dot(contrast, round->direction));
    for (size_t i = 0; i < size; ++i) step[i] += length * round->direction[i];
  }
  return step;
}

}  // namespace

Separation separation(const MixtureSpec& spec, const Design& design) {
  constexpr int64_t kFewRows = 2000;
  Separation result;
  auto list = contrasts(spec, design, std::max<int64_t>(1, design.rows / kFewRows));
  const size_t size = static_cast<size_t>(spec.outputs()) * (design.input.size() + 1);
  // Rows more only add conditions: where some leave no direction at all, all do.
  if (!list.empty() && direction_of_recession(list).empty() && unseen(list, size).empty()) return result;
  list = contrasts(spec, design, 1);
  std::vector<Round> rounds;
  while (!list.empty()) {
    Round round{direction_of_recession(list), {}};
    if (round.direction.empty()) break;
    const auto told = std::stable_partition(list.begin(), list.end(), [&](const Vector& contrast) {
      return dot(contrast, round.direction) <= kZero;
    });
    round.apart.assign(told, list.end()), list.erase(told, list.end());
    rounds.push_back(std::move(round));
    result.kind = list.empty() ? Separation::Kind::kComplete : Separation::Kind::kQuasi;
  }
  if (rounds.empty()) return result;
  result.directions = unseen(list, size), result.to_limit = step_to_limit(rounds, size);
  return result;
}

}  // namespace gw::likelihood
