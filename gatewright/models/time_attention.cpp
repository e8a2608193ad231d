#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "gatewright/base/check.h"
#include "gatewright/models/frame_steps.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/init.h"

namespace gw::inline models {
namespace {

/// A frame's query, key and value, each [S · heads, 1, d], the query over √d.
struct Projected {
  at::Tensor q, k, v;
};

Projected project_frame(const at::Tensor& frame, const at::Tensor& weight, int64_t heads) {
  const int64_t s = frame.size(0), d = frame.size(1) / heads;
  const auto all = ops::linear(frame, weight, {}).view({s, 3, heads, d});
  const auto of = [&](int64_t i) { return all.select(1, i).reshape({s * heads, 1, d}); };
  return {of(0) / std::sqrt(static_cast<double>(d)), of(1), of(2)};
}

/// Keys and values of the last n frames. Their order does not matter: the oldest one's place is taken.
class NewestSteps : public FrameSteps {
 public:
  NewestSteps(int64_t heads, int64_t window, at::Tensor in, at::Tensor out)
      : heads_(heads), window_(window), in_(std::move(in)), out_(std::move(out)) {}

 protected:
  at::Tensor pushed(const at::Tensor& frame) override {
    const auto [q, k, v] = project_frame(frame, in_, heads_);
    const int64_t rows = q.size(0), d = q.size(2), slot = count_ % window_;
    if (!keys_.defined()) keys_ = at::empty({rows, window_, d}, frame.options()), values_ = keys_.clone();
    keys_.narrow(1, slot, 1).copy_(k), values_.narrow(1, slot, 1).copy_(v);
    const int64_t m = std::min(++count_, window_);
    const auto weight = at::softmax(at::bmm(q, keys_.narrow(1, 0, m).transpose(1, 2)), 2);
    const auto seen = at::bmm(weight, values_.narrow(1, 0, m));
    ops::CostRecorder::add(2 * rows * m * d);
    return ops::linear(seen.reshape(frame.sizes()), out_, {});
  }
  void forget() override {
    keys_ = values_ = at::Tensor();
    count_ = 0;
  }

 private:
  int64_t heads_, window_;
  at::Tensor in_, out_, keys_, values_;
  int64_t count_ = 0;
};

/// For every frame of the window its query, key and value, the sum of its exponentials and the values
/// weighted by them. What leaves is subtracted and what comes is added.
class AllSteps : public FrameSteps {
 public:
  AllSteps(int64_t heads, int64_t window, at::Tensor in, at::Tensor out)
      : heads_(heads), window_(window), in_(std::move(in)), out_(std::move(out)) {}

 protected:
  at::Tensor pushed(const at::Tensor& frame) override {
    const auto projected = project_frame(frame, in_, heads_);
    const auto q = projected.q.to(at::kDouble), k = projected.k.to(at::kDouble),
               v = projected.v.to(at::kDouble);
    if (!keys_.defined()) begin(q.size(0), q.size(2), q.options());
    const int64_t rows = q.size(0), d = q.size(2), slot = count_ % window_;
    const bool sure = count_ == 0 || move_columns(k, v, slot);
    queries_.narrow(1, slot, 1).copy_(q), keys_.narrow(1, slot, 1).copy_(k),
        values_.narrow(1, slot, 1).copy_(v);
    const int64_t m = std::min(++count_, window_);
    sure ? rebuild(slot, 1, m) : rebuild(0, m, m);
    const auto mean = (sums_.narrow(1, 0, m) / totals_.narrow(1, 0, m).unsqueeze(2)).mean(1);
    ops::CostRecorder::add(rows * m * d);
    return ops::linear(mean.to(frame.scalar_type()).reshape(frame.sizes()), out_, {});
  }
  void forget() override {
    keys_ = at::Tensor();
    count_ = 0;
  }

 private:
  // Relative error up to which sums that were added to and subtracted from are trusted.
  static constexpr double kTrusted = 1e-10;

  void begin(int64_t rows, int64_t d, const at::TensorOptions& options) {
    keys_ = at::zeros({rows, window_, d}, options);
    values_ = keys_.clone(), queries_ = keys_.clone(), sums_ = keys_.clone();
    totals_ = at::zeros({rows, window_}, options);
    largest_ = totals_.clone(), errors_ = totals_.clone();
  }

  /// The column of the frame in `slot` out of all rows, where the window is full, and the new one in.
  /// False if a row lost too many digits, or has none left.
  bool move_columns(const at::Tensor& k, const at::Tensor& v, int64_t slot) {
    const int64_t m = std::min(count_, window_);
    const bool full = count_ >= window_;
    const auto key = full ? at::cat({k, keys_.narrow(1, slot, 1)}, 1) : k;
    const auto value = full ? at::cat({v, values_.narrow(1, slot, 1)}, 1) : v;
    const auto scores = at::bmm(queries_.narrow(1, 0, m), key.transpose(1, 2)).contiguous();
    const bool sure = weigh(scores.data_ptr<double>(), scores.size(0), m, scores.size(2));
    sums_.narrow(1, 0, m).baddbmm_(scores, value);
    ops::CostRecorder::add(2 * scores.numel() * k.size(2));
    return sure;
  }

  /// Scores [rows, m, columns] to exponentials, those that leave with a minus; totals and their errors.
  bool weigh(double* scores, int64_t rows, int64_t m, int64_t columns) {
    auto* total = totals_.data_ptr<double>();
    auto* error = errors_.data_ptr<double>();
    const auto* largest = largest_.data_ptr<double>();
    bool sure = true;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < m; ++i) {
        const int64_t at = r * window_ + i;
        auto* score = scores + (r * m + i) * columns;
        const double comes = std::exp(score[0] - largest[at]);
        const double leaves = columns > 1 ? std::exp(score[1] - largest[at]) : 0;
        total[at] += comes - leaves;
        error[at] += (comes + leaves) * std::numeric_limits<double>::epsilon();
        score[0] = comes;
        if (columns > 1) score[1] = -leaves;
        sure = sure && error[at] < kTrusted * total[at];  // false for infinite ones and for what is no number
      }
    }
    return sure;
  }

  /// `count` rows from `first` on, from the keys of m frames.
  void rebuild(int64_t first, int64_t count, int64_t m) {
    const auto scores = at::bmm(queries_.narrow(1, first, count), keys_.narrow(1, 0, m).transpose(1, 2));
    const auto top = scores.amax(2);
    const auto weight = at::exp(scores - top.unsqueeze(2));
    largest_.narrow(1, first, count).copy_(top);
    totals_.narrow(1, first, count).copy_(weight.sum(2));
    sums_.narrow(1, first, count).copy_(at::bmm(weight, values_.narrow(1, 0, m)));
    errors_.narrow(1, first, count).zero_();
    ops::CostRecorder::add(2 * scores.numel() * keys_.size(2));
  }

  int64_t heads_, window_;
  at::Tensor in_, out_;
  at::Tensor keys_, values_, queries_, sums_;  // [S · heads, n, d]; sums of values by their exponentials
  at::Tensor totals_, largest_, errors_;       // [S · heads, n]
  int64_t count_ = 0;
};

}  // namespace

TimeAttention::TimeAttention(int64_t width, int64_t heads, int64_t window, const Rng& rng)
    : torch::nn::Module("TimeAttention"), heads_(heads), window_(window) {
  GW_CHECK(heads > 0 && width % heads == 0,
           "time attention: expected a \"width\" that {} heads divide, got {}; take {}", heads, width,
           (width / std::max<int64_t>(heads, 1) + 1) * heads);
  in_ = register_parameter("in", ops::default_uniform(rng.fork("in"), {3 * width, width}));
  out_ = register_parameter("out", ops::default_uniform(rng.fork("out"), {width, width}));
}

TimeAttention::Parts TimeAttention::parts(const at::Tensor& x) const {
  const int64_t b = x.size(0), t = x.size(1), width = x.size(2), d = width / heads_;
  const auto all = ops::linear(x.reshape({b * t, width}), in_, {}).view({b, t, 3, heads_, d});
  const auto of = [&](int64_t i) { return all.select(2, i).permute({0, 2, 1, 3}); };
  return {of(0) / std::sqrt(static_cast<double>(d)), of(1), of(2)};
}

/// [rows, heads · d] through the last product.
at::Tensor TimeAttention::joined(const at::Tensor& heads) const { return ops::linear(heads, out_, {}); }

at::Tensor TimeAttention::newest(const at::Tensor& x) const {
  const auto [q, k, v] = parts(x);
  const int64_t b = x.size(0), t = x.size(1);
  const auto place = at::arange(t, at::kLong);
  const auto age = place.unsqueeze(1) - place.unsqueeze(0);
  const auto hidden = age.lt(0).logical_or(age.ge(window_));
  const auto scores =
      at::matmul(q, k.transpose(2, 3)).masked_fill(hidden, -std::numeric_limits<double>::infinity());
  const auto seen = at::matmul(at::softmax(scores, 3), v);
  ops::CostRecorder::add(2 * b * t * t * x.size(2));
  return joined(seen.permute({0, 2, 1, 3}).reshape({b * t, x.size(2)})).view(x.sizes());
}

at::Tensor TimeAttention::mean_of_all(const at::Tensor& x) const {
  const int64_t b = x.size(0), t = x.size(1), m = std::min(t, window_);
  const auto [q, k, v] = parts(x.narrow(1, t - m, m));
  const auto seen = at::matmul(at::softmax(at::matmul(q, k.transpose(2, 3)), 3), v);
  ops::CostRecorder::add(2 * b * m * m * x.size(2));
  return joined(seen.mean(2).reshape({b, x.size(2)}));
}

std::unique_ptr<FrameSteps> TimeAttention::newest_steps() const {
  return std::make_unique<NewestSteps>(heads_, window_, in_, out_);
}

std::unique_ptr<FrameSteps> TimeAttention::all_steps() const {
  return std::make_unique<AllSteps>(heads_, window_, in_, out_);
}

}  // namespace gw::inline models
