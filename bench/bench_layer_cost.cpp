// What a whole layer costs beside its experts for one token: gate, choice, plan and combination. Answers are
// checked before they are timed.
//   bench_layer_cost [--assert] [--threads N] [--rounds N]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>

#include "bench/support.h"
#include "gatewright/base/check.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"

namespace {

struct Case {
  const char* name;
  int64_t experts, chosen, width, hidden;
  double most_us;  ///< the mark
};
constexpr Case kCases[] = {{"R", 16, 2, 128, 256, 6}, {"S", 32, 4, 1024, 512, 10}};

std::shared_ptr<gw::Mixture> layer_of(const Case& c, const std::string& policy) {
  const gw::Json json{{"experts", c.experts},
                      {"in", c.width},
                      {"policy", {{"part", policy}, {"k", c.chosen}, {"renormalise", true}}},
                      {"bank", {{"part", "mlp"}, {"hidden", c.hidden}}}};
  auto layer = gw::Mixture::from_json(json);
  layer->eval();
  return layer;
}

/// Microseconds of one of 200 calls.
double microseconds(const std::function<void()>& body) {
  constexpr int kCalls = 200;
  return 1e6 / kCalls * gw::bench::seconds([&] {
           for (int i = 0; i < kCalls; ++i) body();
         });
}

double middle(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

bool measure(const Case& c, const std::string& policy, int rounds) {
  const auto layer = layer_of(c, policy);
  const auto x = gw::ops::normal(gw::Rng(2), {1, c.width}, 0, 1);
  const auto out = layer->forward(x);
  const auto experts = [&] {
    return layer->bank().mix(x, out.plan.offsets, out.plan.token, out.plan.weight);
  };
  GW_CHECK(at::equal(out.y, experts()) && out.plan.rows() == c.chosen,
           "bench_layer_cost: the answer of {} is wrong", c.name);
  // In turns, so that both meet the same machine: the difference of times far apart is noise.
  std::vector<double> beside, alone;
  for (int round = 0; round < 4 * rounds; ++round) {
    alone.push_back(microseconds([&] { experts(); }));
    beside.push_back(microseconds([&] { layer->forward(x); }) - alone.back());
  }
  const bool holds = middle(beside) <= c.most_us;
  fmt::print("{} {:<16} {:>12.1f} {:>12.1f} {:>8.0f}  {}\n", c.name, policy, middle(alone), middle(beside),
             c.most_us, holds ? "holds" : "MISSED");
  return holds;
}

bool run(const gw::bench::Arguments& a) {
  at::set_num_threads(a.threads);
  const at::NoGradGuard no_grad;
  fmt::print("One token; {}, {} threads\n{:<18} {:>12} {:>12} {:>8}\n", gw::cpu_info().brand, a.threads,
             "layer", "experts µs", "beside µs", "mark");
  bool holds = true;
  for (const auto& c : kCases) {
    for (const char* policy : {"top_k_softmax", "softmax_top_k"}) holds &= measure(c, policy, a.rounds);
  }
  return holds;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Time of a mixture layer beside its experts' for one token");
  gw::bench::Arguments a;
  gw::bench::add_arguments(app, a);
  return gw::bench::run_main(app, a, argc, argv, [&a] { return run(a); });
}
