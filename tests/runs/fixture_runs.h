#pragma once
// Run and check directories as a trainer leaves them, with numbers that the tests can predict.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gatewright/runs/run_data.h"
#include "gatewright/runs/run_directory.h"

namespace gw::test {

inline const std::vector<std::string> kClasses = {"aeroplane", "car",  "bird",  "cat",  "deer",
                                                  "dog",       "frog", "horse", "ship", "truck"};

struct FixtureRun {
  std::string arm = "top-1 routing";
  int64_t seed = 0;
  double clean = 0.912, robust = 0.534;
  int64_t experts = 4, epochs = 20, train_records = 400;
  bool routed = true, samples = true;
  std::vector<std::string> classes = kClasses;
};

inline gw::Counts fixture_counts(const FixtureRun& run, double shift) {
  gw::Counts counts(static_cast<size_t>(run.experts));
  const size_t classes = run.classes.size();
  for (size_t e = 0; e < counts.size(); ++e)
    for (size_t c = 0; c < classes; ++c)
      counts[e].push_back(
          std::floor(1000 * std::exp(-std::abs(std::remainder(
                                static_cast<double>(e) * 2.4 - static_cast<double>(c) + shift, 10.0)))));
  return counts;
}

inline gw::Evaluation fixture_evaluation(const FixtureRun& run) {
  gw::Evaluation e;
  e.arm = run.arm;
  e.seed = run.seed;
  e.dataset = "CIFAR-10";
  e.checkpoint = "last.safetensors";
  e.classes = run.classes;
  e.clean_accuracy = run.clean;
  e.robust_accuracy = {{"pgd_20", run.robust}, {"square", run.robust + 0.06}};
  e.dense_macs = 222.4e6;
  e.backbone_macs = run.routed ? 58.2e6 : 222.4e6;
  e.router_macs = run.routed ? 1.9e6 : 0;
  const double fast = run.routed ? 0.31 : 1.0;
  e.timing = {{1, {2.41 * fast, 2.41}}, {128, {0.392 * fast, 0.392}}};
  if (!run.routed) return e;
  e.flip_rate = 0.187;
  e.affinity_clean = fixture_counts(run, 0);
  e.affinity_attacked = fixture_counts(run, 1.3);
  return e;
}

/// A blob on a gradient; the attacked one has noise.
inline std::vector<uint8_t> fixture_pixels(size_t channels, size_t side, size_t index, bool attacked) {
  std::vector<uint8_t> pixels;
  for (size_t c = 0; c < channels; ++c) {
    for (size_t y = 0; y < side; ++y) {
      for (size_t x = 0; x < side; ++x) {
        const double dx = static_cast<double>(x) - 10 - static_cast<double>(index % 4) * 4,
                     dy = static_cast<double>(y) - 16;
        const double blob = 150 * std::exp(-(dx * dx + dy * dy) / (40.0 + 15 * static_cast<double>(c)));
        const double noise =
            attacked ? static_cast<double>((x * 7 + y * 13 + c * 5) * 2654435761u % 40) - 20.0 : 0;
        pixels.push_back(static_cast<uint8_t>(std::fmin(
            255, std::fmax(0, 60 + blob + static_cast<double>(y * (1 + (index + c) % 3)) + noise))));
      }
    }
  }
  return pixels;
}

inline std::vector<gw::Sample> fixture_samples(const FixtureRun& run) {
  std::vector<gw::Sample> samples;
  for (size_t i = 0; i < 8; ++i) {
    gw::Sample s;
    s.channels = 3;
    s.height = s.width = 32;
    s.clean = fixture_pixels(3, 32, i, false);
    s.attacked = fixture_pixels(3, 32, i, true);
    s.label = s.predicted_clean = static_cast<int64_t>(i);
    s.predicted_attacked = static_cast<int64_t>(i % 3 == 0 ? (i + 1) % run.classes.size() : i);
    if (run.routed) {
      s.route_clean = {static_cast<int64_t>(i) % run.experts};
      s.route_attacked = {static_cast<int64_t>(i % 4 == 0 ? i + 1 : i) % run.experts};
    }
    samples.push_back(std::move(s));
  }
  return samples;
}

inline void fixture_records(gw::RunDirectory& directory, const FixtureRun& run) {
  const int64_t per_epoch = run.train_records / run.epochs;
  for (int64_t step = 1; step <= per_epoch * run.epochs; ++step) {
    const double epoch = static_cast<double>(step) / static_cast<double>(per_epoch),
                 wobble = 0.06 * std::sin(static_cast<double>(step * (3 + run.seed)));
    gw::Json record = {
        {"step", step},
        {"epoch", epoch},
        {"kind", "train"},
        {"loss", 0.35 + 1.9 * std::exp(-epoch / 5) + wobble},
        {"learning_rate", 0.1 * 0.5 * (1 + std::cos(3.14159 * epoch / static_cast<double>(run.epochs)))},
        {"wall_time_s", 0.5}};
    if (run.routed) {
      std::vector<double> load;
      for (int64_t e = 0; e < run.experts; ++e)
        load.push_back((1 + 0.8 * std::exp(-epoch / 6) * std::sin(static_cast<double>(e * 2) + epoch)) /
                       static_cast<double>(run.experts));
      record["load"] = load;
      record["entropy"] = 0.4 + std::log(static_cast<double>(run.experts)) * std::exp(-epoch / 8);
    }
    directory.append(record);
    if (step % per_epoch != 0) continue;
    const double grown = 1 - std::exp(-epoch / 4);
    directory.append({{"step", step},
                      {"epoch", epoch},
                      {"kind", "validation"},
                      {"loss", 0.5 + 1.8 * std::exp(-epoch / 5)},
                      {"clean_accuracy", run.clean * grown},
                      {"robust_accuracy", run.robust * grown}});
  }
}

inline void write_fixture_run(const std::string& path, const FixtureRun& run) {
  gw::RunDirectory::Options options;
  options.tensorboard = false;
  options.wall_time_s = [] { return 0.0; };
  const gw::Json recipe = {
      {"name", "tiny_routing"},
      {"title", "Routed experts on small images"},
      {"arm", run.arm},
      {"seed", run.seed},
      {"paper", {{"title", "A paper about routing"}, {"year", 2021}, {"identifier", "arXiv 0000.00000"}}},
      {"train", {{"epochs", run.epochs}, {"learning_rate", 0.1}}}};
  gw::RunDirectory directory(path, recipe, options);
  fixture_records(directory, run);
  directory.write_json("evaluation.json", gw::to_json(fixture_evaluation(run)));
  if (run.samples) directory.write_json("samples.json", gw::to_json(fixture_samples(run)));
}

inline gw::Json fixture_check_rows() {
  gw::Json rows = gw::Json::array();
  rows.push_back({{"claim", "Routing keeps the clean accuracy of the dense model"},
                  {"mark", "difference ≥ −1.0 points"},
                  {"measured", "−0.6 points"},
                  {"spread", "0.3"},
                  {"verdict", "pass"},
                  {"note", ""}});
  rows.push_back({{"claim", "Robust accuracy under PGD-20 rises with routing"},
                  {"mark", "≥ +2 points"},
                  {"measured", 3.42},
                  {"spread", 0.8},
                  {"verdict", "pass"},
                  {"note", "two seeds"}});
  rows.push_back({{"claim", "A quarter of the multiply-adds gives a quarter of the time"},
                  {"mark", "time ≤ 0.30 of dense"},
                  {"measured", "0.31"},
                  {"spread", "0.01"},
                  {"verdict", "fail"},
                  {"note", "batch 1 spends 40 µs in the router"}});
  return rows;
}

/// Two routed arms and a dense one, two seeds each.
inline void write_fixture_check(const std::string& path) {
  std::filesystem::create_directories(path);
  const double cleans[] = {0.918, 0.912, 0.905}, robusts[] = {0.500, 0.534, 0.521};
  const char* arms[] = {"dense", "top-1 routing", "random routing"};
  for (size_t a = 0; a < 3; ++a) {
    for (int64_t seed = 0; seed < 2; ++seed) {
      FixtureRun run;
      run.arm = arms[a];
      run.seed = seed;
      run.clean = cleans[a] + 0.002 * static_cast<double>(seed);
      run.robust = robusts[a] + 0.004 * static_cast<double>(seed);
      run.routed = a > 0;
      run.samples = a == 1;
      write_fixture_run(path + "/" + arms[a] + "-seed" + std::to_string(seed), run);
    }
  }
  const gw::Json check = {{"title", "Routed experts on small images"},
                          {"command", "gatewright check tiny_routing --size small"},
                          {"machine", "2 cores, AVX-512"},
                          {"date", "2024-05-01"},
                          {"rows", fixture_check_rows()}};
  std::ofstream(path + "/check.json") << check.dump();
}

}  // namespace gw::test
