// Likelihood mixtures on the clock: one iteration over n, against the memory's speed, and side by side with R
// (bench/likelihood/run.sh).
//   bench_mixture                     n = 100 000, d = 4, k = 4: time of 100 iterations, scaling over n,
//                                     bytes per second; a Lasso path
//   bench_mixture --write OUT         the data of that case and a partition to start from, for R
//   bench_mixture --compare OUT       what bench/likelihood/fit.R left: likelihoods and times; exit code 1 if
//   a likelihood of ours is lower
//                                     when both keep every expert that holds 5 % of the rows; what our own
//                                     rules give stands beside it
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "bench/support.h"
#include "gatewright/base/file.h"
#include "gatewright/base/rng.h"
#include "gatewright/data/frame.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/fit.h"
#include "gatewright/likelihood/lasso.h"

namespace {

using namespace gw::likelihood;
using gw::bench::normal;

/// Four experts in four dimensions.
struct Large {
  static constexpr int64_t kInputs = 4, kExperts = 4;
  MixtureSpec spec;
  MixtureParameters truth;
  std::vector<double> x, y;
  explicit Large(int64_t n) {
    spec.experts = kExperts;
    truth = make_parameters(spec, kInputs);
    const gw::Rng rng(3);
    for (size_t i = 0; i + kInputs < truth.gate_slope.size(); ++i)
      truth.gate_slope[i] = 3 * rng.fork("gate").uniform(i) - 1.5;
    for (size_t i = 0; i < truth.slope.size(); ++i) truth.slope[i] = 6 * rng.fork("slope").uniform(i) - 3;
    for (size_t k = 0; k < kExperts; ++k)
      truth.intercept[k] = 2 * static_cast<double>(k) - 3, truth.scale[k] = 0.5;
    std::vector<double> gates(kExperts);
    for (int64_t i = 0; i < n; ++i) {
      const auto draw = static_cast<uint64_t>(i);
      for (uint64_t j = 0; j < kInputs; ++j) x.push_back(normal(rng.fork("x", j), draw));
      const double* row = x.data() + i * kInputs;
      log_gates(spec, truth, row, gates.data());
      double left = rng.fork("expert").uniform(draw) - std::exp(gates[0]), mean = 0;
      int64_t k = 0;
      while (k + 1 < kExperts && left >= 0) left -= std::exp(gates[static_cast<size_t>(++k)]);
      expert_predictors(spec, truth, k, row, &mean);
      y.push_back(mean + 0.5 * normal(rng.fork("noise"), draw));
    }
  }
  DataView view() const { return {static_cast<int64_t>(y.size()), kInputs, x.data(), y.data(), nullptr}; }
  /// A start off the truth.
  MixtureParameters start() const {
    auto p = truth;
    for (auto& slope : p.slope) slope *= 0.8;
    std::fill(p.gate_slope.begin(), p.gate_slope.end(), 0.0);
    return p;
  }
};

FitOptions hundred_iterations(int64_t iterations) {
  FitOptions options;
  options.max_iterations = iterations, options.tolerance = 0, options.accelerate = false,
  options.all_iterations = true;
  return options;
}

double seconds_per_iteration(int64_t n, int64_t iterations) {
  const Large large(n);
  std::vector<double> times;
  for (int repeat = 0; repeat < 3; ++repeat) {
    int64_t done = 0;
    // Two lengths: their difference leaves out what a fit does once.
    const auto run = [&](int64_t length) {
      return gw::bench::seconds([&] {
        done = fit_from(large.view(), large.spec, large.start(), hundred_iterations(length)).iterations;
      });
    };
    const double brief = run(iterations / 5);
    const int64_t fewer = done;
    const double full = run(iterations);
    if (done <= fewer) return NAN;
    times.push_back((full - brief) / static_cast<double>(done - fewer));
  }
  std::sort(times.begin(), times.end());
  return times[1];
}

/// Bytes per second of one reading of five columns that do not fit into the nearest caches.
double reading_speed() {
  const std::vector<double> values(size_t{5} << 20, 1.0);
  volatile double sink = 0;
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const double seconds = gw::bench::seconds([&] {
      double total = 0;
#pragma omp parallel for reduction(+ : total)
      for (size_t block = 0; block < values.size() / 4096; ++block) {
        double sums[8] = {};
        const double* of = values.data() + block * 4096;
        for (size_t i = 0; i < 4096; i += 8) {
          for (size_t lane = 0; lane < 8; ++lane) sums[lane] += of[i + lane];
        }
        for (const double sum : sums) total += sum;
      }
      sink = total;
    });
    best = std::max(best, static_cast<double>(values.size() * sizeof(double)) / seconds);
  }
  return best;
}

/// A path of 50 penalties, n = 200 and p = 2000 of which 5 columns count, from the largest penalty down to a
/// twentieth. Mark: 20 s.
void measure_lasso() {
  constexpr int64_t n = 200, p = 2000;
  MixtureSpec spec;
  spec.experts = 2;
  const gw::Rng rng(5);
  std::vector<double> x(static_cast<size_t>(n * p)), y;
  for (size_t i = 0; i < x.size(); ++i) x[i] = normal(rng.fork("x"), i);
  for (int64_t i = 0; i < n; ++i) {
    const double *row = x.data() + i * p, draw = rng.fork("expert").uniform(static_cast<uint64_t>(i));
    const double sign = draw < 1 / (1 + std::exp(-3 * row[0])) ? 1 : -1;
    y.push_back(sign * (1 + 2 * row[1] + 2 * row[2] - 2 * row[3] + row[4]) +
                0.5 * normal(rng.fork("noise"), static_cast<uint64_t>(i)));
  }
  const DataView data{n, p, x.data(), y.data(), nullptr};
  for (const int64_t starts : {LassoOptions{}.starts, int64_t{1}}) {
    LassoOptions options;
    options.starts = starts;
    std::vector<LassoFit> path;
    const double seconds = gw::bench::seconds([&] {
      path = lasso_path(data, spec, penalty_grid(largest_penalty(data, spec), 0.05, 50), 1, options);
    });
    const auto& slope = path.back().parameters.slope;
    fmt::print(
        "Lasso path, 50 penalties, n = 200, p = 2000, {} start(s): {:.2f} s; {} slopes at the smallest "
        "penalty\n",
        starts, seconds, std::count_if(slope.begin(), slope.end(), [](double v) { return v != 0; }));
  }
}

int measure() {
  const Large large(100000);
  FitResult result;
  const double seconds = gw::bench::seconds(
      [&] { result = fit_from(large.view(), large.spec, large.start(), hundred_iterations(100)); });
  // The answer first: the engine's likelihood is the plain one, and above the truth's.
  const double plain = log_likelihood(large.spec, result.parameters, large.view()),
               truth = log_likelihood(large.spec, large.truth, large.view());
  if (std::abs(plain - result.log_likelihood) > 1e-9 * std::abs(plain) || plain < truth) {
    fmt::print("wrong answer: {} reported, {} by the densities, {} at the truth\n", result.log_likelihood,
               plain, truth);
    return 1;
  }
  fmt::print("{}, {} cores\nn = 100 000, d = 4, k = 4: {} iterations in {:.3f} s, log-likelihood {:.4f}\n",
             gw::cpu_info().brand, gw::cpu_info().cores, result.iterations, seconds, result.log_likelihood);
  std::vector<double> log_n, log_t;
  for (const int64_t n : {1000, 10000, 100000, 1000000}) {
    const double each = seconds_per_iteration(n, n >= 1000000 ? 20 : 100);
    fmt::print("n = {:>8}: {:.4f} ms an iteration, {:.1f} ns a row\n", n, 1e3 * each,
               1e9 * each / static_cast<double>(n));
    log_n.push_back(std::log10(n)), log_t.push_back(std::log10(each));
  }
  double mean_n = 0, mean_t = 0, cross = 0, square = 0;
  for (size_t i = 0; i < log_n.size(); ++i) mean_n += log_n[i] / 4, mean_t += log_t[i] / 4;
  for (size_t i = 0; i < log_n.size(); ++i)
    cross += (log_n[i] - mean_n) * (log_t[i] - mean_t), square += (log_n[i] - mean_n) * (log_n[i] - mean_n);
  const double speed = reading_speed(), bound = 48.0 / speed, row = std::pow(10, log_t.back()) / 1e6;
  fmt::print(
      "slope over n: {:.3f}\none reading of the data (48 bytes a row: 4 inputs, response, weight) at {:.1f} "
      "GB/s: {:.2f} ns a row; an "
      "iteration takes {:.1f} times that\n",
      cross / square, speed / 1e9, 1e9 * bound, row / bound);
  measure_lasso();
  return 0;
}

int write_large(const std::string& out) {
  const Large large(100000);
  const auto posterior = responsibilities(large.spec, large.start(), large.view());
  std::string text = "y,x1,x2,x3,x4,start\n";
  for (size_t i = 0; i < large.y.size(); ++i) {
    const auto first = posterior.begin() + static_cast<int64_t>(i) * Large::kExperts;
    text +=
        fmt::format("{},{},{},{},{},{}\n", large.y[i], large.x[4 * i], large.x[4 * i + 1], large.x[4 * i + 2],
                    large.x[4 * i + 3], std::max_element(first, first + Large::kExperts) - first + 1);
  }
  gw::write_atomic(out + "/large.data.csv", text);
  return 0;
}

/// One program on one set against ours: `ours` with the rules on experts that R's packages have,
/// `ours_default` with our own.
struct Line {
  std::string data, program;
  int64_t rows = 0, seeds = 0, seeds_not_lower = 0;
  bool degenerate = false;  ///< by our rules, every start of three or so experts on these few rows ends with
                            ///< one that means nothing
  double theirs = 0, ours = 0, ours_default = 0, their_seconds = 0, our_seconds = 0;

  bool is_lower(double value) const {
    return std::isfinite(theirs) && value < theirs - 1e-6 * std::abs(theirs);
  }
};

std::vector<std::string> split_at_plus(std::string rest) {
  std::vector<std::string> names;
  while (!rest.empty()) {
    const auto plus = rest.find('+');
    names.push_back(rest.substr(0, plus));
    rest = plus == std::string::npos ? "" : rest.substr(plus + 1);
  }
  return names;
}

Line compare_one(const std::string& out, const std::string& name, const gw::CsvTable& result, int64_t row) {
  const auto text = [&](const char* column) { return std::string(result.cell(row, result.column(column))); };
  Line line{name, text("program")};
  gw::parse_number(text("log_likelihood"), line.theirs),
      gw::parse_number(text("seconds"), line.their_seconds);
  if (name == "large") {
    const Large large(100000);
    line.rows = 100000;
    line.our_seconds = gw::bench::seconds([&] {
      line.ours = fit_from(large.view(), large.spec, large.start(), hundred_iterations(100)).log_likelihood;
    });
    line.ours_default = line.ours;
    return line;
  }
  const auto table = gw::load_csv(out + "/" + name + ".csv");
  gw::FrameOptions options;
  options.response = "y";
  const auto frame = gw::make_frame(table, options);
  MixtureSpec spec;
  spec.experts = std::stoll(text("experts"));
  spec.gate.columns = frame.schema.columns_of(split_at_plus(text("gate")));
  FitOptions fit_options;
  fit_options.starts = std::stoll(text("starts"));
  const DataView view{frame.size(), static_cast<int64_t>(frame.schema.columns().size()), frame.x.data(),
                      frame.y.data(), nullptr};
  line.rows = view.n;
  const auto by_default = fit(view, spec, 1, fit_options);
  line.ours_default = by_default.log_likelihood, line.degenerate = by_default.degenerate;
  // flexmix's own rule: a component below minprior, 5 % of the rows, is removed, and none for its width.
  fit_options.narrow_experts = NarrowExperts::kKeep,
  fit_options.least_rows = 0.05 * static_cast<double>(view.n);
  line.our_seconds = gw::bench::seconds([&] { line.ours = fit(view, spec, 1, fit_options).log_likelihood; });
  for (line.seeds = 0; line.seeds < 20; ++line.seeds) {
    line.seeds_not_lower +=
        !line.is_lower(fit(view, spec, static_cast<uint64_t>(line.seeds) + 1, fit_options).log_likelihood);
  }
  return line;
}

int compare(const std::string& out) {
  std::vector<std::string> names;
  for (const auto& item : std::filesystem::directory_iterator(out)) {
    const auto file = item.path().filename().string();
    const auto end = file.find(".result.csv");
    if (end != std::string::npos) names.push_back(file.substr(0, end));
  }
  std::sort(names.begin(), names.end());
  bool holds = !names.empty();
  fmt::print(
      "| data | rows | program | its log-likelihood | ours, same rules | not lower, of 20 seeds | ours, "
      "default | its time, s | ours, s | "
      "ratio |\n|---|---|---|---|---|---|---|---|---|---|\n");
  for (const auto& name : names) {
    const auto result = gw::load_csv(out + "/" + name + ".result.csv");
    for (int64_t row = 0; row < result.rows(); ++row) {
      const auto line = compare_one(out, name, result, row);
      holds = holds && !line.is_lower(line.ours);
      const auto shown = [&](double value) {
        return fmt::format("{:.5f}{}", value, line.is_lower(value) ? " LOWER" : "");
      };
      fmt::print("| {} | {} | {} | {:.5f} | {} | {} | {} | {:.3f} | {:.4f} | {:.0f} |\n", line.data,
                 line.rows, line.program, line.theirs, shown(line.ours),
                 line.seeds > 0 ? std::to_string(line.seeds_not_lower) : "–",
                 shown(line.ours_default) + (line.degenerate ? " (degenerate)" : ""), line.their_seconds,
                 line.our_seconds, line.their_seconds / line.our_seconds);
    }
  }
  return holds ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 3 && std::strcmp(argv[1], "--write") == 0) return write_large(argv[2]);
    if (argc == 3 && std::strcmp(argv[1], "--compare") == 0) return compare(argv[2]);
    if (argc == 1) return measure();
    fmt::print(stderr, "bench_mixture: expected nothing, --write OUT or --compare OUT\n");
    return 2;
  } catch (const gw::Error& error) {
    fmt::print(stderr, "bench_mixture: {}\n", error.what());
    return 2;
  }
}
