#include "gatewright/likelihood/trimmed_lines.h"

#include <algorithm>
#include <cmath>

#include "gatewright/likelihood/experts_gaussian.h"
#include "gatewright/likelihood/linear_algebra.h"

namespace gw::likelihood {
namespace {

using Rows = std::vector<int64_t>;

struct Line {
  std::vector<double> coefficient;
  double deviation = 0;
};

Line line_through(const Design& design, const Rows& rows) {
  const auto columns = static_cast<int64_t>(design.input.size()) + 2;
  std::vector<double> moments(static_cast<size_t>(packed_size(columns)), 0.0),
      row(static_cast<size_t>(columns), 1.0);
  for (const int64_t i : rows) {
    for (size_t j = 0; j < design.input.size(); ++j) row[j + 1] = design.input[j][i];
    row.back() = design.y[i];
    size_t at = 0;
    for (size_t a = 0; a < row.size(); ++a) {
      for (size_t b = 0; b <= a; ++b) moments[at++] += design.weight[i] * row[a] * row[b];
    }
  }
  const auto solved = least_squares(moments.data(), columns - 1);
  return {solved.coefficient, moments[0] > 0 ? std::sqrt(solved.residual / moments[0]) : 0};
}

double residual(const Design& design, const Line& line, int64_t i) {
  double value = design.y[i] - line.coefficient[0];
  for (size_t j = 0; j < design.input.size(); ++j) value -= line.coefficient[j + 1] * design.input[j][i];
  return std::abs(value);
}

Rows closest(const Design& design, const Line& line, const Rows& rows, size_t count) {
  std::vector<std::pair<double, int64_t>> order;
  for (const int64_t i : rows) order.emplace_back(residual(design, line, i), i);
  std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count - 1), order.end());
  Rows result;
  for (size_t i = 0; i < count; ++i) result.push_back(order[i].second);
  return result;
}

Rows draw(Rows rows, size_t count, const Rng& rng) {
  for (size_t i = 0; i < count; ++i) std::swap(rows[i], rows[i + rng.below(i, rows.size() - i)]);
  rows.resize(count);
  return rows;
}

/// Rows with weight, at most a few thousand of them: a start need not be exact.
Rows sample_of(const Design& design, const Rng& rng) {
  constexpr size_t kSample = 4096;
  Rows rows;
  for (int64_t i = 0; i < design.rows; ++i) {
    if (design.weight[i] > 0) rows.push_back(i);
  }
  return rows.size() > kSample ? draw(std::move(rows), kSample, rng) : rows;
}

/// The line of `count` of the rows that a random line is pulled to.
Line trimmed_line(const Design& design, const Rows& rows, size_t count, const Rng& rng) {
  constexpr int kPulls = 2;
  Line line = line_through(design, draw(rows, design.input.size() + 1, rng));
  for (int i = 0; i < kPulls; ++i) line = line_through(design, closest(design, line, rows, count));
  return line;
}

void set_line(const EmProblem& problem, int64_t expert, const Line& line, MixtureParameters& p) {
  // A line through rows that lie on it exactly begins wider than any floor, and narrows as its rows tell.
  constexpr double kAboveFloor = 10, kLeastAtStart = 1e-3;
  const auto k = static_cast<size_t>(expert);
  p.intercept[k] = line.coefficient[0];
  std::copy(line.coefficient.begin() + 1, line.coefficient.end(), p.slope.begin() + expert * p.inputs);
  p.scale[k] = std::max({line.deviation, kLeastAtStart, kAboveFloor * problem.options().min_scale});
}

/// One more than an expert has parameters: its deviation is then not zero.
size_t least_rows(const Design& design) { return design.input.size() + 3; }

/// How many of an expert's even share of the rows a line is pulled to: from a tenth up.
size_t random_count(const Design& design, double even, size_t most, double uniform) {
  constexpr double kLeastShare = 0.1;
  return std::clamp(static_cast<size_t>((kLeastShare + (1 - kLeastShare) * uniform) * even),
                    least_rows(design), most);
}

}  // namespace

MixtureParameters replaced_line(const EmProblem& problem, const EmRun& run, int64_t expert, const Rng& rng) {
  const auto& design = problem.design();
  MixtureParameters p = run.parameters;
  const Rows rows = sample_of(design, rng.fork("sample"));
  if (rows.size() < least_rows(design)) return p;
  const auto even = static_cast<double>(rows.size()) / static_cast<double>(p.experts);
  set_line(
      problem, expert,
      trimmed_line(design, rows, random_count(design, even, rows.size(), rng.uniform(0)), rng.fork("line")),
      p);
  std::fill(p.gate_slope.begin(), p.gate_slope.end(), 0.0);
  for (size_t k = 0; k < run.mass.size(); ++k)
    p.gate_bias[k] = std::log(run.mass[k] + 1e-3 * design.total_weight);
  pin_last_gate(problem.spec(), p);
  return p;
}

MixtureParameters trimmed_lines(const EmProblem& problem, const Rng& rng) {
  constexpr double kTaken = 2.5;
  const auto& design = problem.design();
  const int64_t experts = problem.spec().experts;
  const size_t least = least_rows(design);
  Rows free = sample_of(design, rng.fork("sample"));
  const auto even = static_cast<double>(free.size()) / static_cast<double>(experts);
  MixtureParameters p = make_parameters(problem.spec(), design.d);
  Line line = line_through(design, free);
  for (int64_t k = 0; k < experts; ++k) {
    const Rng own = rng.fork("expert", static_cast<uint64_t>(k));
    const bool last = k + 1 == experts || free.size() <= least;
    if (!last) {
      line = trimmed_line(design, free, random_count(design, even, free.size(), own.uniform(0)),
                          own.fork("line"));
    } else if (free.size() >= least) {
      line = line_through(design, free);
    }  // with fewer rows left, the expert before is repeated and the iterations part them
    set_line(problem, k, line, p);
    Rows left;
    for (const int64_t i : free) {
      if (!last && residual(design, line, i) > kTaken * line.deviation) left.push_back(i);
    }
    p.gate_bias[static_cast<size_t>(k)] = std::log(static_cast<double>(free.size() - left.size() + 1));
    free = std::move(left);
  }
  pin_last_gate(problem.spec(), p);
  return p;
}

}  // namespace gw::likelihood
