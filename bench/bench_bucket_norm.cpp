// Batch norm + ReLU of 128 x 64 x 32 x 32 (a ResNet's first stage on CIFAR), channels-last, against
// libtorch's two ops, and over 4 buckets against a concatenation. GB_per_s counts the bytes that the
// algorithm must move (gatewright/ops/bucket_norm.h); copy_GB_per_s is what a copy reaches in the same run,
// the physical peak. Run with OMP_NUM_THREADS set.
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <cstdio>
#include <cstdlib>

#include "gatewright/base/rng.h"
#include "gatewright/ops/bucket_norm.h"
#include "gatewright/ops/random.h"

namespace {

using at::Tensor;
using gw::ops::NormParameters;
using List = std::vector<Tensor>;

constexpr int64_t kBatch = 128, kChannels = 64, kSide = 32, kValues = kBatch * kChannels * kSide * kSide;

Tensor image(uint64_t seed) {
  return gw::ops::normal(gw::Rng(seed), {kBatch, kChannels, kSide, kSide}, 0, 1)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

NormParameters parameters() {
  return {at::ones({kChannels}).requires_grad_(true), at::zeros({kChannels}).requires_grad_(true),
          at::zeros({kChannels}), at::ones({kChannels})};
}

List leaves(const Tensor& x, int64_t buckets) {
  List parts;
  for (const auto& part : x.chunk(buckets)) parts.push_back(part.detach().clone().requires_grad_(true));
  return parts;
}

List ours(const List& x, NormParameters& p, bool train, const List& residual) {
  return gw::ops::bucket_norm(x, p, train, true, residual);
}

List theirs(const List& x, NormParameters& p, bool train, const List& residual) {
  auto y = at::batch_norm(x.size() == 1 ? x[0] : at::cat(x), p.weight, p.bias, p.running_mean, p.running_var,
                          train, 0.1, 1e-5, false);
  if (!residual.empty()) y = y + (x.size() == 1 ? residual[0] : at::cat(residual));
  y = y.relu_();
  return x.size() == 1 ? List{y} : y.chunk(static_cast<int64_t>(x.size()));
}

using Op = List (*)(const List&, NormParameters&, bool, const List&);

/// One pass there and back; the attack of an evaluated network wants the gradient of x alone.
List pass(Op op, const List& x, NormParameters& p, bool train, const List& residual, const List& up) {
  const auto y = op(x, p, train, residual);
  List wanted = x;
  wanted.insert(wanted.end(), residual.begin(), residual.end());
  if (train) wanted.push_back(p.weight), wanted.push_back(p.bias);
  return torch::autograd::grad(y, wanted, up);
}

void assert_same(bool train, bool residual, int64_t buckets) {
  const auto x = leaves(image(1), buckets), up = leaves(image(2), buckets),
             r = residual ? leaves(image(3), buckets) : List{};
  auto p = parameters(), q = parameters();
  const auto a = pass(ours, x, p, train, r, up), b = pass(theirs, x, q, train, r, up);
  for (size_t i = 0; i < a.size(); ++i) {
    // A value within rounding of the kink may fall on either side: compare in the mean.
    const double error = ((a[i] - b[i]).norm() / b[i].norm()).item<double>();
    if (error < 1e-3) continue;
    std::fprintf(stderr, "bench_bucket_norm: gradient %zu differs from libtorch's by %g\n", i, error);
    std::exit(1);
  }
}

void forward_backward(benchmark::State& state, Op op, bool train, bool residual, int64_t buckets) {
  assert_same(train, residual, buckets);
  const auto x = leaves(image(1), buckets), up = leaves(image(2), buckets),
             r = residual ? leaves(image(3), buckets) : List{};
  auto p = parameters();
  for (auto _ : state) benchmark::DoNotOptimize(pass(op, x, p, train, r, up));
  const double passes = (train ? 12 + 20 : 8 + 8) + (residual ? 8 : 0);
  state.counters["GB_per_s"] = benchmark::Counter(
      passes * kValues * static_cast<double>(state.iterations()) * 1e-9, benchmark::Counter::kIsRate);
}

void forward(benchmark::State& state, Op op, bool train) {
  at::NoGradGuard no_grad;
  const auto x = leaves(image(1), 1);
  auto p = parameters();
  for (auto _ : state) benchmark::DoNotOptimize(op(x, p, train, {}));
  state.counters["GB_per_s"] =
      benchmark::Counter((train ? 12 : 8) * kValues * static_cast<double>(state.iterations()) * 1e-9,
                         benchmark::Counter::kIsRate);
}

void copy(benchmark::State& state) {
  const auto from = image(1);
  auto to = at::empty_like(from);
  for (auto _ : state) to.copy_(from);
  state.counters["GB_per_s"] = benchmark::Counter(
      8.0 * kValues * static_cast<double>(state.iterations()) * 1e-9, benchmark::Counter::kIsRate);
}

void add(const std::string& name, Op op, bool train, bool residual, int64_t buckets) {
  benchmark::RegisterBenchmark(
      name.c_str(), [=](benchmark::State& state) { forward_backward(state, op, train, residual, buckets); })
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

}  // namespace

int main(int argc, char** argv) {
  // Fresh pages cost more than the arithmetic: keep freed memory, as a training run's allocator effectively
  // does.
  if (mallopt(M_MMAP_THRESHOLD, 1 << 30) == 0 || mallopt(M_TRIM_THRESHOLD, 1 << 30) == 0)
    std::fputs("mallopt refused\n", stderr);
  benchmark::RegisterBenchmark("copy", copy)->Unit(benchmark::kMillisecond)->UseRealTime();
  for (const auto& [name, op] : {std::pair<std::string, Op>{"gatewright", ours}, {"libtorch", theirs}}) {
    for (const bool train : {true, false}) {
      const std::string mode = train ? "train" : "eval";
      benchmark::RegisterBenchmark((name + "/" + mode + "/forward").c_str(),
                                   [op = op, train](benchmark::State& s) { forward(s, op, train); })
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
      add(name + "/" + mode + "/forward+backward", op, train, false, 1);
      add(name + "/" + mode + "/forward+backward/residual", op, train, true, 1);
    }
    add(name + "/train/forward+backward/4 buckets", op, true, false, 4);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
