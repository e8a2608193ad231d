// Attention of a prompt that is read at once, causal, against what the processor multiplies. Answers are
// checked before they are timed.
//   bench_attention [--assert] [--threads N] [--rounds N] [--tokens N]
// The roof of bf16 is the peak of the bf16 dot product; a processor without one widens to f32, whose peak is
// then the roof. Scores that the mask hides do not count as operations.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <chrono>

#include "bench/support.h"
#include "gatewright/base/check.h"
#include "gatewright/language/blocks/attend.h"
#include "gatewright/ops/peak.h"
#include "gatewright/ops/random.h"

namespace {

constexpr double kMark = 0.60;

struct Case {
  const char* name;
  int64_t heads, key_heads, width;
};
constexpr Case kCases[] = {{"OLMoE", 16, 16, 128}, {"SmolLM2", 9, 3, 64}};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Inputs {
  at::Tensor q, k, v;
  gw::AttendOptions options;
  Inputs(const Case& c, int64_t tokens, at::ScalarType type) {
    const auto drawn = [&](int64_t heads, uint64_t seed) {
      return gw::ops::normal(gw::Rng(seed), {heads, tokens, c.width}, 0, 1).to(type);
    };
    q = drawn(c.heads, 1), k = drawn(c.key_heads, 2), v = drawn(c.key_heads, 3);
    options.scale = 1 / std::sqrt(static_cast<double>(c.width));
  }
};

/// The last head by its formula in f64.
at::Tensor plain(const Inputs& in) {
  const auto of = [](const at::Tensor& t) { return t[t.size(0) - 1].to(at::kDouble); };
  auto score = at::matmul(of(in.q), of(in.k).t()) * in.options.scale;
  const auto hidden = at::ones(score.sizes(), at::kBool).triu(1);
  return at::matmul(at::softmax(score.masked_fill(hidden, -INFINITY), 1), of(in.v));
}

bool measure(const Case& c, int64_t tokens, at::ScalarType type, gw::ops::PeakProbe& probe, int rounds) {
  const Inputs in(c, tokens, type);
  const auto y = gw::attend(in.q, in.k, in.v, in.options);
  const double off = (y[c.heads - 1].to(at::kDouble) - plain(in)).abs().max().item<double>();
  GW_CHECK(off < (type == at::kFloat ? 1e-4 : 3e-2), "bench_attention: the answer of {} is off by {}", c.name,
           off);
  std::vector<double> times;
  std::vector<gw::ops::Peaks> peaks;
  for (int r = 0; r < rounds + 1; ++r) {
    peaks.push_back(probe.once());
    const double took = gw::bench::seconds([&] { gw::attend(in.q, in.k, in.v, in.options); });
    if (r > 0) times.push_back(took);
  }
  std::sort(times.begin(), times.end());
  const auto n = static_cast<double>(tokens);
  const double operations = 2.0 * static_cast<double>(c.heads * c.width) * n * (n + 1);
  const double rate = operations / times[times.size() / 2] / 1e9;
  const auto peak = gw::ops::median(peaks);
  const bool narrow = type == at::kBFloat16, dot = narrow && peak.bf16 > 0;
  const double roof = dot ? peak.bf16 : peak.f32;
  const bool holds = rate / roof >= kMark;
  fmt::print("{:<8} {:<5} {:>9.1f} {:>9.1f} {:>9.1f} {:<5} {:>6.2f}  {}\n", c.name, narrow ? "bf16" : "f32",
             1e3 * times[times.size() / 2], rate, roof, dot ? "bf16" : "f32", rate / roof,
             !narrow ? "published"
             : holds ? "holds"
                     : "MISSED");
  return holds || !narrow;
}

}  // namespace

int main(int argc, char** argv) {
  gw::bench::Arguments a;
  int64_t tokens = 2048;
  CLI::App app("Attention of a prompt against the machine's peak");
  gw::bench::add_arguments(app, a);
  app.add_option("--tokens", tokens, "tokens of the prompt")
      ->check(CLI::Range(2, 16384))
      ->capture_default_str();
  return gw::bench::run_main(app, a, argc, argv, [&] {
    at::set_num_threads(a.threads);
    const at::NoGradGuard no_grad;
    gw::ops::PeakProbe probe(now);
    fmt::print("{} tokens; {}, {} threads; mark {:.2f} of the roof\n", tokens, gw::cpu_info().brand,
               a.threads, kMark);
    fmt::print("{:<8} {:<5} {:>9} {:>9} {:>15} {:>6}\n", "heads of", "type", "ms", "GFLOP/s", "roof GFLOP/s",
               "of it");
    bool holds = true;
    for (const auto& c : kCases)
      for (const auto type : {at::kFloat, at::kBFloat16}) holds &= measure(c, tokens, type, probe, a.rounds);
    return holds;
  });
}
