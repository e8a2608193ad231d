#include <ATen/Parallel.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "apps/cli/command.h"
#include "apps/cli/generation_flags.h"
#include "apps/cli/language_bench.h"
#include "apps/cli/moe_bench.h"
#include "apps/cli/table.h"
#include "gatewright/base/check.h"
#include "gatewright/base/cpu_info.h"
#include "gatewright/base/dispatch.h"
#include "gatewright/ops/moe_ffn.h"
#include "gatewright/ops/quantised.h"
#include "gatewright/runs/progress.h"

namespace gw {
namespace {

constexpr int kWarmUp = 8;  // rounds of the peaks in the headline

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

const char* mark_of(const MoeBenchResult& r) {
  switch (r.test.against) {
    case MoeBenchCase::Against::roof:
      return "roof";
    case MoeBenchCase::Against::loop:
      return "loop";
    case MoeBenchCase::Against::balanced:
      return "balanced";
    default:
      return "bookkeeping";
  }
}

Json as_json(const ops::Peaks& peaks) {
  return {{"f32", peaks.f32},   {"f32_fed", peaks.f32_fed}, {"bf16", peaks.bf16},
          {"int8", peaks.int8}, {"int4", peaks.int4},       {"read", peaks.read}};
}

Json as_json(const MoeBenchResult& r) {
  return {{"case", r.test.name},
          {"level", r.level},
          {"milliseconds", r.seconds * 1e3},
          {"spread", r.spread},
          {"gflops", r.gflops},
          {"gbytes", r.gbytes},
          {"roof", r.memory_bound ? "memory" : "arithmetic"},
          {"of_roof", r.roof},
          {"loop_milliseconds", r.loop_seconds * 1e3},
          {"loop_over_ours", r.loop_seconds / r.seconds},
          {"mark", r.test.mark},
          {"mark_is", mark_of(r)},
          {"bookkeeping", r.bookkeeping},
          {"balanced_over_ours", r.balanced_seconds / r.seconds},
          {"error", r.error},
          {"peaks", as_json(r.peaks)},
          {"holds", r.holds}};
}

std::vector<std::string> as_row(const MoeBenchResult& r) {
  return {r.test.name,
          fmt::format("{:.3f}", r.seconds * 1e3),
          fmt::format("{:.0f}", 100 * r.spread),
          fmt::format("{:.1f}", r.gflops),
          fmt::format("{:.1f}", r.gbytes),
          fmt::format("{} {:.2f}", r.memory_bound ? "memory" : "arithmetic", r.roof),
          fmt::format("{:.2f}", r.loop_seconds / r.seconds),
          r.test.mark == 0 ? "" : fmt::format("{} {:.2f}", mark_of(r), r.test.mark),
          r.test.mark == 0 ? "published" : (r.holds ? "holds" : "MISSED"),
          r.level};
}

class BenchCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Measure the mixture kernels against the machine's peak and libtorch's loop over experts, or a "
      "language model's tokens a second against what the memory can give.";
  const char* example() const override { return "gatewright bench --case \"f32 S\" --rounds 5"; }

  void declare(CLI::App& app) override {
    app.add_option("model", language_.model,
                   "a language model in place of the kernels: folder, GGUF file, or a name below "
                   "$GATEWRIGHT_MODELS: models/olmoe")
        ->check(not_empty);
    declare_weights(app, language_.load);
    app.add_option("--prompt", language_.prompt, "tokens that the model reads at once; --prompt 512")
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--tokens", language_.tokens, "tokens that it then writes one by one; --tokens 128")
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--case", cases_, "only cases whose name holds one of these texts");
    app.add_option(
        "--levels", levels_,
        "kernel levels to force, as in GATEWRIGHT_KERNELS: avx2, or moe_ffn=avx2,qgemm=avx512_vnni");
    app.add_option("--rounds", rounds_, "timed rounds of each case")->check(CLI::Range(1, 1000));
    app.add_flag("--assert", assert_, "exit with 1 unless every mark holds");
    app.add_flag("--json", json_, "print JSON");
    app.add_flag("--list", list_, "print the cases and measure nothing");
  }

  int run() override {
    if (!levels_.empty()) force_kernels(levels_);
    if (!language_.model.empty()) return bench_model();
    return bench_kernels();
  }

 private:
  int bench_model() {
    GW_CHECK(cases_.empty() && !list_,
             "bench: expected --case and --list for the kernels alone, got one beside a model");
    language_.rounds = rounds_;
    return bench_language_model(language_, json_) || !assert_ ? 0 : 1;
  }

  int bench_kernels() {
    std::vector<MoeBenchCase> chosen;
    for (const auto& test : moe_bench_cases()) {
      if (cases_.empty() || std::any_of(cases_.begin(), cases_.end(), [&](const auto& text) {
            return test.name.find(text) != std::string::npos;
          })) {
        chosen.push_back(test);
      }
    }
    GW_CHECK(!chosen.empty(), "bench: no case holds \"{}\"; `gatewright bench --list` shows them",
             fmt::join(cases_, "\" or \""));
    if (list_) {
      for (const auto& test : chosen) fmt::print("{}\n", test.name);
      return 0;
    }
    ops::PeakProbe probe(now);
    std::vector<ops::Peaks> rounds;
    for (int i = 0; i < kWarmUp; ++i) rounds.push_back(probe.once());
    const auto peaks = ops::best(rounds);
    Json cases = Json::array();
    std::vector<std::vector<std::string>> rows{
        {"case", ">ms", ">± %", ">GFLOP/s", ">GB/s", ">of the roof", ">× loop", ">mark", "verdict", "level"}};
    bool holds = true;
    const double started = now();
    for (const auto& test : chosen) {
      const size_t done = rows.size() - 1;
      const double left = done == 0 ? 0
                                    : (now() - started) / static_cast<double>(done) *
                                          static_cast<double>(chosen.size() - done);
      fmt::print(stderr, "bench: {} ({} of {}{})\n", test.name, rows.size(), chosen.size(),
                 done == 0 ? ", how long all take is known after the first"
                           : fmt::format(", about {} left", format_duration(left)));
      const auto result = run_moe_bench(test, probe, rounds_, now);
      cases.push_back(as_json(result)), rows.push_back(as_row(result));
      holds = holds && result.holds;
    }
    print(peaks, cases, rows);
    return assert_ && !holds ? 1 : 0;
  }

  void print(const ops::Peaks& peaks, const Json& cases,
             const std::vector<std::vector<std::string>>& rows) const {
    const auto &cpu = cpu_info().brand, f32 = ops::moe_ffn_level(at::kFloat),
               bf16 = ops::moe_ffn_level(at::kBFloat16), codes = ops::codes_level();
    if (json_) {
      const Json levels{{"f32", f32}, {"bf16", bf16}, {"codes", codes}};
      fmt::print("{}\n", Json{{"cpu", cpu},
                              {"threads", at::get_num_threads()},
                              {"levels", levels},
                              {"peaks", as_json(peaks)},
                              {"cases", cases}}
                             .dump(2));
      return;
    }
    fmt::print("{}, {} threads; levels f32 {}, bf16 {}, codes {}\n", cpu, at::get_num_threads(), f32, bf16,
               codes);
    fmt::print(
        "peaks: f32 {:.1f} GFLOP/s ({:.1f} with factors from the first-level cache), bf16 dot {:.1f} "
        "GFLOP/s, ",
        peaks.f32, peaks.f32_fed, peaks.bf16);
    fmt::print("int8 {:.1f} GOP/s (codes of 4 bits {:.1f}), read {:.1f} GB/s\n", peaks.int8,
               std::max(peaks.int8, peaks.int4), peaks.read);
    fmt::print("(peaks are the best of {}; a case's roof is measured in turns with it)\n\n", kWarmUp);
    fmt::print("{}", format_table(rows));
  }

  LanguageBench language_;
  std::vector<std::string> cases_;
  std::string levels_;
  int rounds_ = 5;
  bool assert_ = false, json_ = false, list_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, BenchCommand);
