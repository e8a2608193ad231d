#include "apps/cli/moe_bench.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <thread>

#include "gatewright/base/check.h"
#include "gatewright/ops/moe_ffn.h"
#include "gatewright/ops/quantised.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/thread_pool.h"
#include "gatewright/ops/top_k.h"
#include "gatewright/routing/plan.h"

namespace gw {
namespace {

using Mode = MoeBenchCase::Mode;
using Against = MoeBenchCase::Against;

// Weights of one call are read from memory, not from a cache, when several sets of them are used in turn.
constexpr int64_t kRotatedBytes = int64_t{3} << 29, kMostSets = 64;
constexpr int64_t kShift = 7;  // experts from one turn's routes to the next one's
// Seconds of calls before and under the clock. Until threads that slept are spread over the cores again, up
// to 20 ms, a call takes twice as long.
constexpr double kWarm = 50e-3, kBurst = 10e-3;

at::ScalarType dtype_of(const MoeBenchCase& c) { return c.bf16 ? at::kBFloat16 : at::kFloat; }
int64_t weight_values(const MoeBenchCase& c) { return (c.glu ? 3 : 2) * c.in * c.hidden; }

/// K distinct experts per token: smallest keys of an exponential race, so that popularity is 1 / rank^zipf.
/// `shift`: added to every expert, modulo their number.
RoutingPlan routes(const MoeBenchCase& c, double zipf, int64_t shift = 0) {
  const Rng rng = Rng(1).fork("bench/routes");
  auto expert = at::empty({c.tokens, c.k}, at::kLong);
  auto* out = expert.data_ptr<int64_t>();
  std::vector<std::pair<double, int64_t>> race(static_cast<size_t>(c.experts));
  for (int64_t t = 0; t < c.tokens; ++t) {
    for (int64_t e = 0; e < c.experts; ++e) {
      const double u = rng.uniform(static_cast<uint64_t>(t * c.experts + e));
      race[static_cast<size_t>(e)] = {-std::log(1 - u) * std::pow(static_cast<double>(e + 1), zipf), e};
    }
    std::partial_sort(race.begin(), race.begin() + c.k, race.end());
    for (int64_t j = 0; j < c.k; ++j)
      out[t * c.k + j] = (race[static_cast<size_t>(j)].second + shift) % c.experts;
  }
  return make_plan(expert, ops::uniform(Rng(2), {c.tokens, c.k}, 0.1, 1), c.experts);
}

/// One set of weights, as our op takes them and as the loop does: a tensor per expert over the same memory.
struct WeightSet {
  ops::FfnWeights stacked;
  ops::PackedFfn packed;
  ops::QuantisedFfn quantised;
  std::vector<at::Tensor> gate, up, down;

  explicit WeightSet(const MoeBenchCase& c) {
    const auto make = [&](uint64_t part, int64_t rows, int64_t columns) {
      const double width = 1 / std::sqrt(static_cast<double>(columns));
      return ops::uniform(Rng(6).fork("bench/weights", part), {c.experts, rows, columns}, -width, width)
          .to(dtype_of(c));
    };
    stacked.up = make(0, c.hidden, c.in), stacked.down = make(1, c.in, c.hidden);
    if (c.glu) stacked.gate = make(2, c.hidden, c.in);
    if (c.bits > 0) quantise(c);
    if (c.mode == Mode::forward && c.bits == 0) packed = ops::pack_ffn(stacked);
    make_leaves(c);
  }

  /// The same values in other memory.
  WeightSet elsewhere(const MoeBenchCase& c) const {
    WeightSet copy = *this;
    for (auto* t : {&copy.packed.up, &copy.packed.down, &copy.packed.gate, &copy.quantised.up,
                    &copy.quantised.down, &copy.quantised.gate}) {
      if (t->defined())
        *t = ops::pooled_empty(t->sizes(), t->options()).copy_(*t);  // in such memory as the op makes them
    }
    if (c.bits > 0) return copy;  // the loop is not what is measured then
    for (auto* t : {&copy.stacked.up, &copy.stacked.down, &copy.stacked.gate}) {
      if (t->defined()) *t = t->detach().clone();
    }
    copy.make_leaves(c);
    return copy;
  }

 private:
  void make_leaves(const MoeBenchCase& c) {
    const bool training = c.mode == Mode::training;
    const auto leaves = [&](const at::Tensor& all) {
      std::vector<at::Tensor> each;
      for (const auto& one : all.defined() ? all.unbind(0) : std::vector<at::Tensor>{})
        each.push_back(one.detach().requires_grad_(training));
      return each;
    };
    up = leaves(stacked.up), down = leaves(stacked.down), gate = leaves(stacked.gate);
    for (auto* t : {&stacked.up, &stacked.down, &stacked.gate}) {
      if (t->defined()) t->requires_grad_(training);
    }
  }

  // The loop runs over what the codes stand for: both must give the same answer.
  void quantise(const MoeBenchCase& c) {
    quantised = ops::quantise_ffn(stacked, c.bits, c.group);
    for (auto* w : {&stacked.up, &stacked.down, &stacked.gate}) {
      if (w->defined()) *w = ops::dequantise(ops::quantise(*w, c.bits, c.group)).to(dtype_of(c));
    }
  }
};

/// Scores → chosen experts → rows sorted by expert.
void bookkeeping(const at::Tensor& scores, int64_t k) {
  std::vector<int64_t> offsets;
  ops::sort_slots(ops::top_k(scores, k, "softmax", true).expert, scores.size(1), offsets);
}

class Runner {
 public:
  explicit Runner(const MoeBenchCase& c)
      : c_(c),
        plans_{routes(c, c.zipf)},
        balanced_(c.against == Against::balanced ? routes(c, 0) : plans_.front()) {
    const bool training = c.mode == Mode::training;
    x_ = ops::normal(Rng(3), {c.tokens, c.in}, 0, 1).to(dtype_of(c)).requires_grad_(training);
    weight_ = plans_.front().weight.detach().clone().requires_grad_(training);
    dy_ = ops::normal(Rng(4), {c.tokens, c.in}, 0, 1).to(dtype_of(c));
    sets_.reserve(kMostSets);
    sets_.emplace_back(c);
    const int64_t sets =
        c.tokens > 64 ? 1 : std::clamp<int64_t>(kRotatedBytes / weight_bytes(), 1, kMostSets);
    while (sets > 1 && static_cast<int64_t>(plans_.size()) < c.experts)
      plans_.push_back(routes(c, c.zipf, static_cast<int64_t>(plans_.size()) * kShift));
    while (static_cast<int64_t>(sets_.size()) < sets) sets_.push_back(sets_.front().elsewhere(c));
  }

  /// The answer, or in training the gradients of x, the routing weights and every expert's weights, one after
  /// the other.
  std::vector<at::Tensor> ours(size_t turn) { return ours(turn, plan_of(turn)); }
  /// The same work with every expert as popular as any other.
  void ours_balanced(size_t turn) { ours(turn, balanced_); }

  std::vector<at::Tensor> ours(size_t turn, const RoutingPlan& plan) {
    const auto& w = sets_[turn % sets_.size()];
    const at::AutoGradMode mode(c_.mode == Mode::training);
    const std::string activation = c_.glu ? "silu" : "gelu";
    if (c_.bits > 0)
      return {ops::moe_ffn_quantised(x_, plan.token, plan.offsets, weight_, w.quantised, {activation})};
    const auto y =
        ops::moe_ffn(x_, plan.token, plan.offsets, weight_, w.stacked, {activation, false}, w.packed);
    if (c_.mode == Mode::forward) return {y};
    std::vector<at::Tensor> inputs{x_, weight_, w.stacked.up, w.stacked.down};
    if (c_.glu) inputs.push_back(w.stacked.gate);
    return torch::autograd::grad({y}, inputs, {dy_});
  }

  std::vector<at::Tensor> loop(size_t turn) {
    const auto& w = sets_[turn % sets_.size()];
    const auto& plan = plan_of(turn);
    const at::AutoGradMode mode(c_.mode == Mode::training);
    auto y = at::zeros({c_.tokens, c_.in}, x_.options());
    std::vector<at::Tensor> inputs{x_, weight_};
    for (int64_t e = 0; e < c_.experts; ++e) {
      const auto i = static_cast<size_t>(e);
      if (plan.rows_of(e) == 0) continue;
      const auto token = plan.token.narrow(0, plan.offsets[i], plan.rows_of(e));
      const auto rows = x_.index_select(0, token);
      auto h = at::linear(rows, w.up[i]);
      h = c_.glu ? at::silu(at::linear(rows, w.gate[i])) * h : at::gelu(h);
      const auto weight =
          weight_.narrow(0, plan.offsets[i], plan.rows_of(e)).to(x_.scalar_type()).unsqueeze(1);
      y = y.index_add(0, token, at::linear(h, w.down[i]) * weight);
      inputs.push_back(w.up[i]), inputs.push_back(w.down[i]);
      if (c_.glu) inputs.push_back(w.gate[i]);
    }
    if (c_.mode == Mode::forward) return {y};
    return torch::autograd::grad({y}, inputs, {dy_});
  }

  /// Largest relative difference over everything that both computed.
  double error() {
    const auto a = ours(0), b = loop(0);
    const auto difference = [](const at::Tensor& got, const at::Tensor& want) {
      const double scale = want.abs().max().item<double>();
      return (got.to(at::kDouble) - want.to(at::kDouble)).abs().max().item<double>() / std::max(scale, 1e-30);
    };
    double worst = difference(a[0], b[0]);
    if (c_.mode == Mode::forward) return worst;
    worst = std::max(worst, difference(a[1], b[1]));
    size_t at = 2;
    for (int64_t e = 0; e < c_.experts; ++e) {
      if (plan_of(0).rows_of(e) == 0) continue;
      for (size_t part = 2; part < a.size(); ++part) worst = std::max(worst, difference(a[part][e], b[at++]));
    }
    return worst;
  }

  int64_t active() const {
    int64_t n = 0;
    for (int64_t e = 0; e < c_.experts; ++e) n += plan_of(0).rows_of(e) > 0 ? 1 : 0;
    return n;
  }

  /// Of one set, with the scales of quantised weights.
  int64_t weight_bytes() const {
    if (c_.bits > 0) return sets_.front().quantised.bytes();
    return c_.experts * weight_values(c_) * static_cast<int64_t>(sets_.front().stacked.up.element_size());
  }

 private:
  // Once all sets had their turn, the same routes go to other experts: few tokens would else use few of the
  // weights, which a large cache keeps.
  const RoutingPlan& plan_of(size_t turn) const { return plans_[turn / sets_.size() % plans_.size()]; }

  const MoeBenchCase& c_;
  std::vector<RoutingPlan> plans_;
  RoutingPlan balanced_;
  at::Tensor x_, weight_, dy_;
  std::vector<WeightSet> sets_;
};

struct Times {
  double median, spread;
};

Times summary(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  return {median, (times[times.size() * 3 / 4] - times[times.size() / 4]) / median};
}

/// The cases' marks are those of AVX-512 and better. AVX2 alone promises 0.80 of what its own instructions
/// reach wherever arithmetic binds, and nothing for bf16, which it widens.
double mark_at(const std::string& level, const MoeBenchCase& c) {
  const bool to_loop = c.against == Against::loop, to_roof = c.against == Against::roof;
  if (level != "avx2" || !(to_loop || to_roof)) return c.mark;
  if (c.bf16 && c.bits == 0) return 0;
  return to_loop || c.tokens < 512 ? c.mark : c.bits > 0 ? 0.80 : std::min(c.mark, 0.80);
}

double peak_of(const MoeBenchCase& c, const ops::Peaks& peaks) {
  if (c.bits > 0) return std::max({peaks.int8, peaks.bf16, c.bits == 4 ? peaks.int4 : 0});
  return c.bf16 ? std::max(peaks.bf16, peaks.f32) : peaks.f32;
}

/// Fills in rates, the share of the roof and the verdict.
void place(MoeBenchResult& r, int64_t active, int64_t expert_bytes) {
  const auto& c = r.test;
  const auto& peaks = r.peaks;
  const bool training = c.mode == Mode::training;
  const double operations = static_cast<double>((training ? 3 : 1) * 2 * c.tokens * c.k * weight_values(c));
  // Training reads the weights forward and backward and writes their gradients.
  const auto bytes = static_cast<double>((training ? 3 : 1) * active * expert_bytes);
  const double by_operations = operations / peak_of(c, peaks) * 1e-9, by_bytes = bytes / peaks.read * 1e-9;
  r.gflops = operations / r.seconds * 1e-9, r.gbytes = bytes / r.seconds * 1e-9;
  r.memory_bound = by_bytes > by_operations, r.roof = std::max(by_operations, by_bytes) / r.seconds;
  if (c.against == Against::bookkeeping)
    r.holds = r.bookkeeping <= c.mark;
  else
    r.holds = (c.against == Against::roof       ? r.roof
               : c.against == Against::balanced ? r.balanced_seconds / r.seconds
                                                : r.loop_seconds / r.seconds) >= c.mark;
}

struct CallTimes {
  double mean, fastest;
};

/// Short calls are repeated, as a decoder makes them. The pause lets the other side's threads stop spinning
/// (OpenBLAS: 2^26 cycles).
CallTimes time_calls(const std::function<void()>& work, const std::function<double()>& now_s) {
  const auto repeated = [&](double seconds) {
    const double start = now_s();
    double end = start, fastest = std::numeric_limits<double>::infinity();
    int64_t calls = 0;
    while (calls == 0 || end - start < seconds) {
      const double before = end;
      work(), ++calls, end = now_s();
      fastest = std::min(fastest, end - before);
    }
    return CallTimes{(end - start) / static_cast<double>(calls), fastest};
  };
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  repeated(kWarm);
  return repeated(kBurst);
}

}  // namespace

MoeBenchResult run_moe_bench(const MoeBenchCase& c, ops::PeakProbe& probe, int rounds,
                             const std::function<double()>& now_s) {
  Runner runner(c);
  MoeBenchResult result;
  result.test = c, result.level = c.bits > 0 ? ops::codes_level() : ops::moe_ffn_level(dtype_of(c)),
  result.error = runner.error();
  result.test.mark = mark_at(result.level, c);
  GW_ENSURE(result.error < (c.bf16 ? 3e-2 : 1e-5),
            "bench: {}: expected the loop's answer, got one that differs by {:.1e}", c.name, result.error);
  // In turns, so that a disturbance hits both.
  const auto timed = [&](const std::function<void()>& work) { return time_calls(work, now_s); };
  std::vector<double> ours, loops, balanced;
  std::vector<ops::Peaks> peaks;
  size_t turn = 0;
  for (int round = 0; round <= rounds; ++round) {  // the first is for warming up
    const double our_time = timed([&] { runner.ours(turn++); }).mean;
    const double balanced_time =
        c.against != Against::balanced ? 0 : timed([&] { runner.ours_balanced(turn++); }).mean;
    const auto peak = probe.once();  // before the loop, whose threads spin on
    // Its fastest call: OpenBLAS's threads and OpenMP's spin against each other between short products, and
    // the mean would flatter us.
    const double loop_time = timed([&] { runner.loop(turn++); }).fastest;
    if (round > 0)
      ours.push_back(our_time), balanced.push_back(balanced_time), loops.push_back(loop_time),
          peaks.push_back(peak);
  }
  const auto times = summary(ours);
  result.seconds = times.median, result.spread = times.spread, result.loop_seconds = summary(loops).median,
  result.balanced_seconds = summary(balanced).median;
  if (c.against == Against::bookkeeping) {
    const auto scores = ops::normal(Rng(5), {c.tokens, c.experts}, 0, 1);
    std::vector<double> choosing;
    for (int round = 0; round < 3 * rounds; ++round)
      choosing.push_back(timed([&] { bookkeeping(scores, c.k); }).mean);
    result.bookkeeping = summary(choosing).median / result.seconds;
  }
  result.peaks = ops::median(peaks);
  place(result, runner.active(), runner.weight_bytes() / c.experts);
  return result;
}

}  // namespace gw
