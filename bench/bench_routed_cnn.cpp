// Does the saving of a routed CNN show on the clock? Ratios within one run, measured in turns; answers are compared with
// the masked-dense reference before anything is timed.
//   bench_routed_cnn [--assert] [--threads N] [--rounds N] [--backbone resnet18]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/cpu_info.h"
#include "models/network.h"
#include "ops/random.h"

namespace {

using gw::Execution;
using gw::Network;

struct Arguments {
  bool enforce = false;
  int threads = gw::cpu_info().cores, rounds = 15;
  std::string backbone = "resnet18";
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const bool more = i + 1 < argc;
    if (flag == "--assert") a.enforce = true;
    else if (flag == "--threads" && more) a.threads = std::stoi(argv[++i]);
    else if (flag == "--rounds" && more) a.rounds = std::stoi(argv[++i]);
    else if (flag == "--backbone" && more) a.backbone = argv[++i];
    else gw::fail("bench_routed_cnn: unknown argument \"{}\"; known: --assert, --threads N, --rounds N, --backbone NAME", flag);
  }
  return a;
}

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Medians of several works, taken in turns so that a disturbance hits all alike.
std::vector<double> medians(const std::vector<std::function<void()>>& works, int rounds) {
  std::vector<std::vector<double>> times(works.size());
  for (const auto& work : works) work(), work();
  for (int r = 0; r < rounds; ++r) {
    for (size_t i = 0; i < works.size(); ++i) times[i].push_back(seconds(works[i]));
  }
  std::vector<double> out;
  for (auto& t : times) std::sort(t.begin(), t.end()), out.push_back(t[t.size() / 2]);
  return out;
}

std::shared_ptr<Network> make(const std::string& backbone, int64_t experts, double ratio) {
  gw::NetworkOptions o;
  o.backbone = backbone, o.experts = experts, o.ratio = ratio;
  return std::make_shared<Network>(o, 3, 32, 32, 10);
}

at::Tensor images(int64_t n) { return gw::ops::uniform(gw::Rng(1), {n, 3, 32, 32}, 0, 1).contiguous(at::MemoryFormat::ChannelsLast); }

// Half of the images to each expert, whatever the untrained router thinks: both paths must do the same work.
at::Tensor even_scores(int64_t n) { return at::one_hot(at::arange(n).remainder(2), 2).to(at::kFloat); }

void train_step(Network& network, const at::Tensor& x, Execution execution) {
  gw::ForwardOptions o;
  o.execution = execution, o.scores = even_scores(x.size(0)), o.record_router = false;
  const auto loss = at::cross_entropy_loss(network.forward(x, o).logits, at::arange(x.size(0)).remainder(10));
  const auto parameters = network.backbone_parameters();
  const auto gradients = torch::autograd::grad({loss}, parameters);
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters.size(); ++i) parameters[i].add_(gradients[i], -1e-6);
}

void assert_equal_answers(Network& moe) {
  const at::NoGradGuard no_grad;
  moe.eval();
  gw::ForwardOptions masked;
  masked.execution = Execution::kMasked;
  const auto x = images(16);
  const auto a = moe.forward(x).logits, b = moe.forward(x, masked).logits;
  const double error = ((a - b).abs().max() / b.abs().max()).item<double>();
  gw::check(error < 1e-5, "bench_routed_cnn: expected the sparse answer to equal the masked one to 1e-5, got {:.2e}", error);
}

bool print(const std::string& name, double ours, double theirs, double mark) {
  const double ratio = ours / theirs;
  const bool holds = ratio <= mark;
  fmt::print("{:<52} {:>10.3f} {:>10.3f} {:>8.3f} {:>8.3f}  {}\n", name, ours * 1e3, theirs * 1e3, ratio, mark, holds ? "holds" : "MISSED");
  return holds;
}

int run(const Arguments& a) {
  at::set_num_threads(a.threads);
  const auto dense = make(a.backbone, 1, 1.0), moe = make(a.backbone, 2, 0.5);
  assert_equal_answers(*moe);
  fmt::print("{} at 3x32x32, 2 experts, ratio 0.5; {}, {} threads\n", a.backbone, gw::cpu_info().brand, a.threads);
  const auto cost = moe->cost(), full = dense->cost();
  fmt::print("multiply-adds: dense {:.1f} M, pathway {:.1f} M, router {:.1f} M, ratio {:.3f}\n\n", static_cast<double>(full.total()) / 1e6,
             static_cast<double>(cost.backbone) / 1e6, static_cast<double>(cost.router) / 1e6,
             static_cast<double>(cost.total()) / static_cast<double>(full.total()));
  fmt::print("{:<52} {:>10} {:>10} {:>8} {:>8}\n", "case", "ms", "against ms", "ratio", "mark");
  bool holds = true;
  for (const int64_t batch : {128, 1}) {
    dense->eval(), moe->eval();
    const at::NoGradGuard no_grad;
    const auto x = images(batch);
    const auto t = medians({[&] { moe->forward(x); }, [&] { dense->forward(x); }}, batch == 1 ? 20 * a.rounds : a.rounds);
    holds &= print(fmt::format("inference, batch {}: mixture / dense", batch), t[0], t[1], batch == 1 ? 0.55 : 0.45);
  }
  moe->train();
  const auto x = images(128);
  const auto scores = even_scores(128);
  const auto plan = gw::make_plan(scores.argmax(1, true), at::ones({128, 1}), 2);
  const auto steps = medians({[&] { train_step(*moe, x, Execution::kSparse); }, [&] { train_step(*moe, x, Execution::kMasked); }}, std::max(3, a.rounds / 3));
  holds &= print("training step, batch 128: sparse / masked dense", steps[0], steps[1], 0.62);
  const auto bucketing = medians({[&] {
    const auto fresh = gw::make_plan(scores.argmax(1, true), at::ones({128, 1}), 2);
    const auto flow = gw::enter(x, gw::arrange(fresh, Execution::kSparse));
    gw::leave(gw::map(flow, [](const at::Tensor& part) { return part.narrow(1, 0, 1).mean({2, 3}); }));
  }}, 20 * a.rounds);
  holds &= print("plan + bucketing + un-bucketing / training step", bucketing[0], steps[0], 0.02);
  return holds || !a.enforce ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  mallopt(M_MMAP_THRESHOLD, 1 << 30), mallopt(M_TRIM_THRESHOLD, 1 << 30);  // as the command line does
  try {
    return run(parse(argc, argv));
  } catch (const gw::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return error.exit_code();
  }
}
