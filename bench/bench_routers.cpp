// What routing costs beside the experts it feeds: each policy's share of a mixture's forward pass, which must
// stay below 5 % where every token chooses for itself. Answers are checked before they are timed.
//   bench_routers [--assert] [--threads N] [--rounds N] [--tokens T] [--only POLICY]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>

#include "bench/support.h"
#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/load.h"

namespace {

constexpr int64_t kWidth = 1024, kHidden = 2048, kExperts = 64, kChosen = 8;
constexpr double kMark = 0.05;

struct Arguments : gw::bench::Arguments {
  int64_t tokens = 4096;
  std::string only;
};

gw::Json options_of(const std::string& name) {
  gw::Json options = gw::Json::object();
  for (const auto& option : gw::Registry::instance().info("policies", name).options) {
    if (option.name == "k" && name != "cmr") options["k"] = kChosen;
    if (option.name == "groups") options["groups"] = 8, options["kept_groups"] = 4;
    if (option.name == "strict") options["strict"] = false;
  }
  return options;
}

gw::RouterInputs inputs(int64_t tokens) {
  gw::RouterInputs inputs;
  inputs.rng = gw::Rng(1);
  inputs.token_id = at::arange(tokens, at::kLong);
  inputs.route = at::arange(tokens, at::kLong).remainder(kExperts);
  return inputs;
}

double mixture_s(const Arguments& a) {
  const gw::Json json{{"experts", kExperts},
                      {"in", kWidth},
                      {"policy", {{"part", "top_k_softmax"}, {"k", kChosen}}},
                      {"bank", {{"part", "mlp"}, {"hidden", kHidden}}}};
  const auto mixture = gw::Mixture::from_json(json);
  mixture->eval();
  const auto x = gw::ops::normal(gw::Rng(2), {a.tokens, kWidth}, 0, 1);
  const at::NoGradGuard no_grad;
  const auto out = mixture->forward(x);
  GW_CHECK(out.plan.rows() == a.tokens * kChosen && out.y.isfinite().all().item<bool>(),
           "bench_routers: the mixture's answer is wrong");
  return gw::bench::median([&] { mixture->forward(x); }, std::max(1, a.rounds / 2));
}

bool measure(const std::string& name, const Arguments& a, double whole) {
  const auto policy = gw::make_part<gw::Policy>(name, options_of(name), {kExperts});
  const auto scores = gw::ops::normal(gw::Rng(3), {a.tokens, policy->columns()}, 0, 1);
  const auto facts = inputs(a.tokens);
  const at::NoGradGuard no_grad;
  gw::validate_plan(policy->plan_for(scores, facts, true));
  const double train = gw::bench::median([&] { policy->plan_for(scores, facts, true); }, a.rounds);
  const double evaluation = gw::bench::median([&] { policy->plan_for(scores, facts, false); }, a.rounds);
  const auto traits = policy->traits();
  // Those that look at the whole batch solve a problem first: their time is published, not bounded.
  const bool bounded = !traits.balanced_training && !traits.soft;
  const bool holds = !bounded || std::max(train, evaluation) / whole <= kMark;
  fmt::print("{:<24} {:>12.2f} {:>12.2f} {:>10.2f} %  {}\n", name, train * 1e3, evaluation * 1e3,
             100 * train / whole, bounded ? (holds ? "holds" : "MISSED") : "published");
  return holds;
}

bool run(const Arguments& a) {
  at::set_num_threads(a.threads);
  fmt::print("T = {}, E = {}, K = {}, D = {}, H = {}; {}, {} threads\n", a.tokens, kExperts, kChosen, kWidth,
             kHidden, gw::cpu_info().brand, a.threads);
  const double whole = mixture_s(a);
  fmt::print("mixture, forward: {:.1f} ms\n\n{:<24} {:>12} {:>12} {:>12}\n", whole * 1e3, "policy",
             "training ms", "else ms", "share");
  bool holds = true;
  for (const auto& part : gw::Registry::instance().list("policies")) {
    if (a.only.empty() || part.name == a.only) holds &= measure(part.name, a, whole);
  }
  return holds;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Time of each routing policy beside that of the mixture it routes for");
  Arguments a;
  gw::bench::add_arguments(app, a);
  app.add_option("--tokens", a.tokens, "rows of a batch")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  app.add_option("--only", a.only, "one policy instead of all");
  return gw::bench::run_main(app, a, argc, argv, [&a] { return run(a); });
}
