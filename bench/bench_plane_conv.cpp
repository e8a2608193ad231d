// Narrow convolutions and pools on channel planes beside libtorch's (oneDNN's), forward and with gradients,
// in turns; answers are compared before anything is timed.
//   bench_plane_conv [--assert] [--threads N] [--rounds N] [--batch N]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include "bench/support.h"
#include "gatewright/base/check.h"
#include "gatewright/ops/plane_conv2d.h"
#include "gatewright/ops/random.h"

namespace {

struct Arguments : gw::bench::Arguments {
  int64_t batch = 128;
};

struct Shape {
  int64_t in, out, side;
};

using Function = std::function<at::Tensor(const at::Tensor& x, const at::Tensor& w)>;

struct Side {
  Function function;
  at::Tensor x, w, g;
  void forward() const {
    const at::NoGradGuard no_grad;
    function(x, w);
  }
  std::vector<at::Tensor> gradients(bool of_weight) const {
    const auto weight = of_weight ? w : w.detach();
    const auto y = function(x, weight);
    return torch::autograd::grad(
        {y}, of_weight ? std::vector<at::Tensor>{x, weight} : std::vector<at::Tensor>{x}, {g});
  }
};

Side make(const Shape& s, int64_t batch, at::MemoryFormat format, Function f) {
  const auto random = [&](uint64_t seed, std::vector<int64_t> size) {
    return gw::ops::normal(gw::Rng(seed), size, 0, 1).contiguous(format);
  };
  return {std::move(f), random(1, {batch, s.in, s.side, s.side}).requires_grad_(true),
          random(2, {s.out, s.in, 3, 3}).requires_grad_(true), random(3, {batch, s.out, s.side, s.side})};
}

void assert_equal(const Side& a, const Side& b, const Shape& s) {
  const auto mine = a.gradients(true), theirs = b.gradients(true);
  for (size_t i = 0; i < mine.size(); ++i) {
    const double error = ((mine[i] - theirs[i]).norm() / theirs[i].norm()).item<double>();
    GW_CHECK(error < 1e-4,
             "bench_plane_conv: expected gradient {} of {} -> {} channels equal to 1e-4, got {:.2e}", i, s.in,
             s.out, error);
  }
}

bool row(const Shape& s, const Arguments& a) {
  const auto ours = make(s, a.batch, at::MemoryFormat::Contiguous,
                         [](const auto& x, const auto& w) { return gw::ops::plane_conv2d(x, w); });
  const auto theirs = make(s, a.batch, at::MemoryFormat::ChannelsLast,
                           [](const auto& x, const auto& w) { return at::conv2d(x, w, {}, 1, 1); });
  assert_equal(ours, theirs, s);
  const auto t = gw::bench::medians(
      {[&] { ours.forward(); }, [&] { theirs.forward(); }, [&] { ours.gradients(false); },
       [&] { theirs.gradients(false); }, [&] { ours.gradients(true); }, [&] { theirs.gradients(true); }},
      a.rounds);
  const bool taken = gw::ops::plane_conv2d_pays(ours.x, ours.w, 1, 1);
  fmt::print("{:>3} -> {:<3} {:>2}x{:<3}", s.in, s.out, s.side, s.side);
  bool holds = true;
  for (size_t i = 0; i < t.size(); i += 2) {
    const double scale = 1e6 / static_cast<double>(a.batch);
    fmt::print(" {:>8.2f} {:>8.2f} {:>5.2f}", t[i] * scale, t[i + 1] * scale, t[i] / t[i + 1]);
    holds &= !taken || t[i] <= t[i + 1];
  }
  fmt::print("  {}{}\n", taken ? "taken" : "left to libtorch", holds ? "" : ", MISSED");
  return holds;
}

bool run(const Arguments& a) {
  at::set_num_threads(a.threads);
  fmt::print(
      "3x3 convolutions, batch {}; {}, {} threads; us per image: planes, libtorch channels-last, ratio\n\n",
      a.batch, gw::cpu_info().brand, a.threads);
  fmt::print("{:<15} {:^23} {:^23} {:^23}\n", "channels, map", "forward", "with image's gradient",
             "with both gradients");
  bool holds = true;
  const std::vector<std::pair<int64_t, int64_t>> channels{{1, 3},   {1, 6},   {1, 16},  {3, 6},   {3, 16},
                                                          {6, 6},   {8, 8},   {4, 16},  {16, 4},  {6, 12},
                                                          {12, 12}, {12, 24}, {16, 16}, {24, 24}, {64, 64}};
  for (const int64_t side : {64, 28, 14, 7, 3}) {
    for (const auto& [in, out] : channels) {
      if (side < 64 || in * out <= 72) holds &= row({in, out, side}, a);
    }
  }
  return holds;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Narrow convolutions on channel planes beside libtorch's");
  Arguments a;
  a.rounds = 9;
  gw::bench::add_arguments(app, a);
  app.add_option("--batch", a.batch, "images")->check(CLI::Range(1, 100000))->capture_default_str();
  return gw::bench::run_main(app, a, argc, argv, [&a] { return run(a); });
}
