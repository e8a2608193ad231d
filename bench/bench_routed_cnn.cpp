// Does the saving of a routed CNN show on the clock? Ratios within one run, measured in turns; answers are
// compared with the masked-dense reference before anything is timed.
//   bench_routed_cnn [--assert] [--threads N] [--rounds N] [--backbone resnet18]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "bench/support.h"
#include "gatewright/base/check.h"
#include "gatewright/models/compiled_network.h"
#include "gatewright/models/network.h"
#include "gatewright/ops/random.h"

namespace {

using gw::Execution;
using gw::Network;
using gw::bench::medians;

struct Arguments : gw::bench::Arguments {
  std::string backbone = "resnet18";
};

std::shared_ptr<Network> make(const std::string& backbone, int64_t experts, double ratio) {
  gw::NetworkOptions o;
  o.backbone = backbone, o.experts = experts, o.ratio = ratio;
  return std::make_shared<Network>(o, 3, 32, 32, 10);
}

at::Tensor images(int64_t n) {
  return gw::ops::uniform(gw::Rng(1), {n, 3, 32, 32}, 0, 1).contiguous(at::MemoryFormat::ChannelsLast);
}

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
  GW_CHECK(error < 1e-5,
           "bench_routed_cnn: expected the sparse answer to equal the masked one to 1e-5, got {:.2e}", error);
}

bool print(const std::string& name, double ours, double theirs, double mark) {
  const double ratio = ours / theirs;
  const bool holds = ratio <= mark;
  fmt::print("{:<52} {:>10.4f} {:>10.4f} {:>8.3f} {:>8.3f}  {}\n", name, ours * 1e3, theirs * 1e3, ratio,
             mark, holds ? "holds" : "MISSED");
  return holds;
}

/// Compiled networks: the mixture beside the dense one, and each beside itself as it is.
bool print_compiled(const std::string& name, Network& moe, Network& dense, const Arguments& a, double mark,
                    double mark_of_one) {
  const at::NoGradGuard no_grad;
  moe.eval(), dense.eval();
  const gw::CompiledNetwork fast_moe(moe), fast_dense(dense);
  const auto& s = moe.shape();
  const auto check = gw::ops::uniform(gw::Rng(2), {16, s.channels, s.height, s.width}, 0, 1);
  const auto got = fast_dense.run(check).logits, want = dense.forward(check).logits;
  const double error = ((got - want).abs().max() / want.abs().max()).item<double>();
  GW_CHECK(error < 1e-4,
           "bench_routed_cnn: expected the compiled answer to equal the network's to 1e-4, got {:.2e}",
           error);
  bool holds = true;
  for (const int64_t batch : {128, 1}) {
    const auto x = gw::ops::uniform(gw::Rng(1), {batch, s.channels, s.height, s.width}, 0, 1);
    const int rounds = batch == 1 ? 20 * a.rounds : a.rounds;
    // Apart: a call of microseconds after one of libtorch's would find its weights gone from the caches.
    const auto fast = medians({[&] { fast_moe.run(x); }, [&] { fast_dense.run(x); }}, rounds);
    const auto plain = medians({[&] { moe.forward(x); }, [&] { dense.forward(x); }}, rounds);
    const auto row = [&](const char* what) { return fmt::format("{}, batch {}: {}", name, batch, what); };
    holds &= print(row("compiled, mixture / dense"), fast[0], fast[1], batch == 1 ? mark_of_one : mark);
    holds &= print(row("mixture, compiled / as it is"), fast[0], plain[0], 1.0);
    holds &= print(row("dense, compiled / as it is"), fast[1], plain[1], 1.0);
  }
  return holds;
}

/// Three experts of half width, and four merged ones, beside the dense network, as recipe robust_moe has
/// them, over its width.
bool small_compiled(const Arguments& a) {
  bool holds = true;
  for (const int width : {6, 8, 16, 32}) {
    gw::NetworkOptions options;
    options.backbone_options = gw::Json{{"width", width}};
    options.gate = gw::Json{{"part", "cnn"}, {"arch", "small"}, {"width", 3}};
    Network dense(options, 1, 28, 28, 10);
    options.experts = 3, options.ratio = 0.5, options.own = {"norms", "head"};
    Network moe(options, 1, 28, 28, 10);
    holds &= print_compiled(fmt::format("small_cnn {}", width), moe, dense, a, 0.52, 0.65);
    options.experts = 4, options.own = {"head"}, options.routing = "layer", options.execution = "merged";
    options.gate = "pooled_linear",
    options.policy = gw::Json{{"part", "dense_softmax"}, {"score", "sigmoid"}};
    Network merged(options, 1, 28, 28, 10);
    holds &= print_compiled(fmt::format("small_cnn {}, four merged", width), merged, dense, a, 0.52, 0.65);
  }
  return holds;
}

void sort_and_undo(const at::Tensor& x, const at::Tensor& scores) {
  const auto plan = gw::make_plan(scores.argmax(1, true), at::ones({x.size(0), 1}), 2);
  const auto batch = gw::into_buckets(x, gw::index_buckets(plan, Execution::kBucketed));
  gw::out_of_buckets(gw::each_bucket(batch, [](const at::Tensor& part) {
    return part.narrow(1, 0, 1).mean({2, 3});
  }));
}

bool run(const Arguments& a) {
  at::set_num_threads(a.threads);
  const auto dense = make(a.backbone, 1, 1.0), moe = make(a.backbone, 2, 0.5);
  assert_equal_answers(*moe);
  fmt::print("{} at 3x32x32, 2 experts, ratio 0.5; {}, {} threads\n", a.backbone, gw::cpu_info().brand,
             a.threads);
  const auto cost = moe->cost(), full = dense->cost();
  fmt::print("multiply-adds: dense {:.1f} M, pathway {:.1f} M, router {:.1f} M, ratio {:.3f}\n\n",
             static_cast<double>(full.total()) / 1e6, static_cast<double>(cost.backbone) / 1e6,
             static_cast<double>(cost.router) / 1e6,
             static_cast<double>(cost.total()) / static_cast<double>(full.total()));
  fmt::print("{:<52} {:>10} {:>10} {:>8} {:>8}\n", "case", "ms", "against ms", "ratio", "mark");
  bool holds = true;
  for (const int64_t batch : {128, 1}) {
    dense->eval(), moe->eval();
    const at::NoGradGuard no_grad;
    const auto x = images(batch);
    const auto t = medians({[&] { moe->forward(x); }, [&] { dense->forward(x); }},
                           batch == 1 ? 20 * a.rounds : a.rounds);
    holds &= print(fmt::format("inference, batch {}: mixture / dense", batch), t[0], t[1],
                   batch == 1 ? 0.55 : 0.45);
  }
  moe->train();
  const auto x = images(128);
  const auto scores = even_scores(128);
  const auto steps = medians(
      {[&] { train_step(*moe, x, Execution::kBucketed); }, [&] { train_step(*moe, x, Execution::kMasked); }},
      std::max(3, a.rounds / 3));
  holds &= print("training step, batch 128: sparse / masked dense", steps[0], steps[1], 0.62);
  const auto bucketing = medians({[&] { sort_and_undo(x, scores); }}, 20 * a.rounds);
  holds &= print("plan + bucketing + un-bucketing / training step", bucketing[0], steps[0], 0.02);
  holds &= small_compiled(a);
  holds &= print_compiled(a.backbone, *moe, *dense, a, 0.45, 0.45);
  return holds;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Sparse execution of a routed network beside dense and masked execution");
  Arguments a;
  a.rounds = 15;
  gw::bench::add_arguments(app, a);
  app.add_option("--backbone", a.backbone, "part of kind backbones")->capture_default_str();
  return gw::bench::run_main(app, a, argc, argv, [&a] { return run(a); });
}
