// What recording costs: the recorder's own time beside the time of the step that it records, files and
// summary lines included.
// The recording is read back and compared with the plans before anything is timed.
//   bench_route_recorder [--assert] [--threads N] [--rounds N] [--narrow]     --narrow: a mixture an eighth
//   as wide, for slow machines
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <chrono>
#include <filesystem>

#include "bench/support.h"
#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/routing/recorder.h"
#include "gatewright/routing/recording_reader.h"
#include "gatewright/train/trainer.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Arguments : gw::bench::Arguments {
  bool narrow = false;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Adds up the time of the tap inside it.
class TimedTap : public gw::RouteTap {
 public:
  explicit TimedTap(std::shared_ptr<gw::RouteTap> inner) : inner_(std::move(inner)) {}
  double spent_s = 0;
  gw::RoutingPlan last;
  void begin(const gw::RouteFrame& frame) override {
    const auto start = Clock::now();
    inner_->begin(frame);
    spent_s += seconds_since(start);
  }
  void end() override {
    const auto start = Clock::now();
    inner_->end();
    spent_s += seconds_since(start);
  }
  gw::RoutingPlan decide(const gw::RouteQuery& query) override {
    const auto start = Clock::now();
    auto plan = inner_->decide(query);
    spent_s += seconds_since(start);
    last = plan;
    return plan;
  }

 private:
  std::shared_ptr<gw::RouteTap> inner_;
};

/// A recorder between two stop watches: what the outer one has and the inner one has not is the recorder's.
struct Watched {
  std::string directory;
  std::shared_ptr<TimedTap> policy = std::make_shared<TimedTap>(std::make_shared<gw::RouteTap>()), all;

  explicit Watched(const std::string& name, bool weights)
      : directory((std::filesystem::temp_directory_path() / ("gatewright_" + name)).string()) {
    std::filesystem::create_directories(directory);
    gw::RecordingOptions options;
    options.weights = weights;
    all = std::make_shared<TimedTap>(std::make_shared<gw::RouteRecorder>(
        gw::RouteRecorder::Files{directory + "/routes.bin", directory + "/routes.jsonl"}, gw::Json::object(),
        options, policy));
  }
  ~Watched() { std::filesystem::remove_all(directory); }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  double recorder_s() const { return all->spent_s - policy->spent_s; }
};

bool print(const std::string& name, double recorder_s, double step_s, int64_t steps, uint64_t bytes,
           bool bounded) {
  const double share = recorder_s / step_s;
  const bool holds = share < 0.01;
  fmt::print("{:<64} {:>10.3f} {:>10.3f} {:>9.3f} {:>10}  {}\n", name,
             1e3 * step_s / static_cast<double>(steps), 1e3 * recorder_s / static_cast<double>(steps),
             100 * share, bytes / static_cast<uint64_t>(steps), holds ? "holds" : "MISSED");
  return holds || !bounded;
}

bool mixture(const Arguments& a, bool weights) {
  const int64_t tokens = 4096, width = a.narrow ? 128 : 1024, hidden = a.narrow ? 256 : 2048;
  const auto layer = gw::Mixture::from_json({{"experts", 64},
                                             {"in", width},
                                             {"policy", {{"part", "softmax_top_k"}, {"k", 8}}},
                                             {"bank", {{"part", "mlp"}, {"hidden", hidden}}}});
  layer->eval();
  Watched watched(weights ? "mixture_weights" : "mixture", weights);
  layer->set_tap(watched.all, "layer");
  const auto x = at::randn({tokens, width});
  const at::NoGradGuard no_grad;
  const auto step = [&](int64_t n) {
    watched.all->begin({gw::RoutePhase::kTrain, n, 0, 0, {}, {}});
    layer->forward(x);
    watched.all->end();
  };
  step(1);
  gw::RecordingReader reader(watched.directory + "/routes.bin");
  reader.next(), reader.next();
  GW_ENSURE(gw::decision_plan(reader.decision(), 64).token.equal(watched.all->last.token),
            "bench_route_recorder: the recording is not the plan");
  watched.all->spent_s = watched.policy->spent_s = 0;
  const auto start = Clock::now();
  for (int64_t n = 0; n < a.rounds; ++n) step(n + 2);
  const double whole = seconds_since(start);
  const auto bytes = std::filesystem::file_size(watched.directory + "/routes.bin") *
                     static_cast<uint64_t>(a.rounds) / static_cast<uint64_t>(a.rounds + 1);
  return print(fmt::format("mixture forward, T {} E 64 K 8 D {} H {}{}", tokens, width, hidden,
                           weights ? ", with weights" : ""),
               watched.recorder_s(), whole, a.rounds, bytes, !a.narrow);
}

std::shared_ptr<gw::Optimizer> sgd(const std::vector<at::Tensor>& parameters) {
  gw::Optimizer::Context c;
  for (size_t i = 0; i < parameters.size(); ++i) c.parameters.push_back({std::to_string(i), parameters[i]});
  return gw::make_part<gw::Optimizer>("sgd", gw::Json::object(), c);
}

bool adv_moe(const Arguments& a, const std::string& routing) {
  gw::NetworkOptions o;
  o.experts = 2, o.ratio = 0.5, o.routing = routing;
  o.gate =
      routing == "image" ? gw::PartChoice(gw::Json{{"part", "cnn"}, {"arch", "small"}}) : "pooled_linear";
  gw::Network network(o, 1, 28, 28, 10);
  const bool apart = routing == "image";
  gw::TrainConfig config;
  config.task = gw::Json{{"part", "image_classification"}, {"epsilon", 0.1}};
  const auto task = gw::make_task(config);
  const auto objective = gw::make_part<gw::Objective>(apart ? "adv_moe" : "trades", gw::Json::object(),
                                                      gw::Objective::Context{*task});
  const auto experts = sgd(apart ? network.backbone_parameters() : network.parameters());
  const auto router = apart ? sgd(network.router_parameters()) : nullptr;
  Watched watched("training_" + routing, false);
  auto batch = network.example(128, gw::Rng(1));
  batch.fields["label"] = at::arange(128).remainder(10);
  const auto step = [&](int64_t n) {
    network.train();
    gw::StepContext c{network, *task, batch, *experts, router.get(), 1e-3, gw::Rng(static_cast<uint64_t>(n))};
    c.tap = watched.all.get();
    watched.all->begin({gw::RoutePhase::kTrain, n, 0, 0, batch.at("label"), batch.index});
    objective->step(c);
    watched.all->end();
  };
  step(1);
  watched.all->spent_s = watched.policy->spent_s = 0;
  const int64_t rounds = 4 * a.rounds;
  const auto start = Clock::now();
  for (int64_t n = 0; n < rounds; ++n) step(n + 2);
  const double whole = seconds_since(start);
  const auto bytes = std::filesystem::file_size(watched.directory + "/routes.bin") *
                     static_cast<uint64_t>(rounds) / static_cast<uint64_t>(rounds + 1);
  return print(fmt::format("training step, {} on small_cnn, batch 128, one decision per {}",
                           apart ? "adv_moe" : "trades", routing),
               watched.recorder_s(), whole, rounds, bytes, true);
}

bool run(const Arguments& a) {
  at::set_num_threads(a.threads);
  fmt::print("{}, {} threads; mark: the recorder takes less than 1 % of the step\n\n", gw::cpu_info().brand,
             a.threads);
  fmt::print("{:<64} {:>10} {:>10} {:>9} {:>10}\n", "case", "step ms", "rec. ms", "share %", "bytes/step");
  bool holds = adv_moe(a, "image");
  holds = adv_moe(a, "layer") && holds;
  holds = mixture(a, false) && holds;
  holds = mixture(a, true) && holds;
  return holds;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Time of the route recorder beside that of the steps it records");
  Arguments a;
  gw::bench::add_arguments(app, a);
  app.add_flag("--narrow", a.narrow, "a mixture an eighth as wide, without marks: for slow machines");
  return gw::bench::run_main(app, a, argc, argv, [&a] { return run(a); });
}
