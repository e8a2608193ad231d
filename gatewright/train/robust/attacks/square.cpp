#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack_base.h"

namespace gw::inline train {
namespace {

/// Random search over squares at the ball's corners; asks for answers only, never for gradients.
/// Math:   start: x ± ε, one sign per image, channel and column. Query i: a window of side s = √(p_i H W),
///         rounded, at a random place is set to x ± ε with one random sign per channel, and kept if the
///         margin max_{j≠y} z_j − z_y grew. p_i is p halved at 10, 50, 200, 500, 1000, 2000, 4000, 6000 and
///         8000 of 10 000 queries, scaled to `queries`.
/// Cost:   at most `queries` forward passes on the images that still resist.
/// Source: Andriushchenko et al. 2020, arXiv 1912.00049, algorithms 1 and 2 (L∞); p = 0.8 and 5000 queries as
///         AutoAttack sets them; differs: places and signs are drawn per image, a draw that changes nothing
///         still costs its query.
class Square : public AttackBase {
 public:
  struct Options : OptionSet {
    int64_t queries = 5000;
    double p = 0.8;
    void fields(OptionVisitor& v) override {
      v.integer("queries", queries, "forward passes at most", 1, 10000000);
      v.real("p", p, "share of the image's area that the first windows cover", 1e-6, 1);
    }
  };
  static constexpr const char* kSummary = "black box: random search over squares, no gradients";
  static constexpr const char* kSource = "Andriushchenko et al. 2020, arXiv 1912.00049";
  Square(Options options, const Context& context)
      : AttackBase("attacks/square", context), options_(options) {}

 protected:
  at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng,
                    AttackResult&) override {
    const std::vector<Rng> streams = image_streams(rng.fork("square"), x);
    Candidates worst = probe.clean_candidates(margin_loss, labels);
    for (int64_t query = 0; query < options_.queries; ++query) {
      const at::Tensor rows = unreached_rows(worst.margin);
      if (rows.numel() == 0) break;
      const at::Tensor centre = take_rows(x, rows);
      Candidates tried = query == 0 ? stripes(centre, rows, streams)
                                    : window(centre, take_rows(worst.images, rows), rows, streams, query);
      tried.margin = margin_loss(probe.respond(tried.images).logits, labels.index_select(0, rows));
      // The stripes replace the clean image even where the margin fell: windows at the corners of the ball
      // start from them.
      tried.loss = query == 0 ? at::full_like(tried.margin, kInfinity) : tried.margin;
      keep_worst_rows(worst, rows, tried);
      if (query == 0) worst.loss = worst.margin;
    }
    return worst.images;
  }

 private:
  /// Shapes: signs [n, C, 1, W or 1] of ±1 → x + ε · sign, projected.
  Candidates corner(const at::Tensor& centre, const at::Tensor& signs) const {
    return {project(centre + epsilon() * signs.to(centre.options()), centre, epsilon()), {}, {}};
  }

  Candidates stripes(const at::Tensor& centre, const at::Tensor& rows,
                     const std::vector<Rng>& streams) const {
    return corner(centre, signs(rows, streams, 0, centre.size(1), centre.size(3)));
  }

  Candidates window(const at::Tensor& centre, const at::Tensor& current, const at::Tensor& rows,
                    const std::vector<Rng>& streams, int64_t query) const {
    const int64_t n = centre.size(0), height = centre.size(2), width = centre.size(3),
                  side = side_at(query, height, width);
    const at::Tensor top = at::empty({n}, at::kLong), left = at::empty({n}, at::kLong),
                     host_rows = rows.to(at::kCPU);
    for (int64_t i = 0; i < n; ++i) {
      const Rng place = streams[static_cast<size_t>(host_rows.data_ptr<int64_t>()[i])].fork(
          "place", static_cast<uint64_t>(query));
      top.data_ptr<int64_t>()[i] =
          static_cast<int64_t>(place.below(0, static_cast<uint64_t>(height - side + 1)));
      left.data_ptr<int64_t>()[i] =
          static_cast<int64_t>(place.below(1, static_cast<uint64_t>(width - side + 1)));
    }
    const auto within = [&](const at::Tensor& first, int64_t size) {
      const at::Tensor offset = at::arange(size).unsqueeze(0) - first.unsqueeze(1);
      return (offset >= 0) & (offset < side);
    };
    const at::Tensor mask =
        within(top, height).view({n, 1, height, 1}) & within(left, width).view({n, 1, 1, width});
    Candidates moved = corner(centre, signs(rows, streams, query, centre.size(1), 1));
    moved.images = at::where(mask.to(centre.device()), moved.images, current);
    return moved;
  }

  static at::Tensor signs(const at::Tensor& rows, const std::vector<Rng>& streams, int64_t query,
                          int64_t channels, int64_t columns) {
    const at::Tensor host_rows = rows.to(at::kCPU),
                     result = at::empty({rows.size(0), channels, 1, columns}, at::kFloat);
    float* out = result.data_ptr<float>();
    const auto count = static_cast<uint64_t>(channels * columns);
    for (int64_t i = 0; i < rows.size(0); ++i) {
      const Rng draw = streams[static_cast<size_t>(host_rows.data_ptr<int64_t>()[i])].fork(
          "sign", static_cast<uint64_t>(query));
      for (uint64_t j = 0; j < count; ++j) *out++ = draw.bits(j) >> 63 ? 1.f : -1.f;
    }
    return result;
  }

  int64_t side_at(int64_t query, int64_t height, int64_t width) const {
    const double scaled = static_cast<double>(query) / static_cast<double>(options_.queries) * 10000;
    double share = options_.p;
    for (const double bound : {10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000})
      share /= scaled > bound ? 2 : 1;
    const auto side =
        static_cast<int64_t>(std::lround(std::sqrt(share * static_cast<double>(height * width))));
    return std::clamp<int64_t>(side, 1, std::min(height, width));
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Attack, gw::Square);
