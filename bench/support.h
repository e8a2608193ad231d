#pragma once
// What the timing programs share: their arguments, their clock, their normal numbers, and how they end.
#include <fmt/format.h>
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <numbers>
#include <string>
#include <vector>

#include "gatewright/base/cpu_info.h"
#include "gatewright/base/error.h"
#include "gatewright/base/rng.h"

namespace gw::bench {

/// Seconds that `work` takes.
inline double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The i-th standard normal of a stream.
inline double normal(const Rng& rng, uint64_t i) {
  return std::sqrt(-2 * std::log(1 - rng.uniform(2 * i))) *
         std::cos(2 * std::numbers::pi * rng.uniform(2 * i + 1));
}

/// Medians of several works, taken in turns so that a disturbance hits all alike; two rounds before the first
/// that counts.
inline std::vector<double> medians(const std::vector<std::function<void()>>& works, int rounds) {
  std::vector<std::vector<double>> times(works.size());
  for (const auto& work : works) work(), work();
  for (int r = 0; r < rounds; ++r) {
    for (size_t i = 0; i < works.size(); ++i) times[i].push_back(seconds(works[i]));
  }
  std::vector<double> out;
  for (auto& t : times) std::sort(t.begin(), t.end()), out.push_back(t[t.size() / 2]);
  return out;
}

inline double median(const std::function<void()>& work, int rounds) { return medians({work}, rounds)[0]; }

/// What every timing program takes.
struct Arguments {
  bool enforce = false;
  int threads = cpu_info().cores, rounds = 5;
};

inline void add_arguments(CLI::App& app, Arguments& a) {
  app.add_flag("--assert", a.enforce, "exit with 1 if a mark is missed");
  app.add_option("--threads", a.threads, "threads")->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--rounds", a.rounds, "timed rounds, of which the median counts")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
}

/// Reads the arguments, runs, and turns an error into its text and exit code. `run` says whether all marks
/// hold.
inline int run_main(CLI::App& app, const Arguments& a, int argc, char** argv,
                    const std::function<bool()>& run) {
  mallopt(M_MMAP_THRESHOLD, 1 << 30), mallopt(M_TRIM_THRESHOLD, 1 << 30);  // as the command line does
  try {
    app.parse(argc, argv);
    const bool holds = run();
    return holds || !a.enforce ? 0 : 1;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}

}  // namespace gw::bench
