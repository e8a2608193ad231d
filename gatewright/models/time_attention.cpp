#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/models/frame_steps.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/init.h"

namespace gw::inline models {
namespace {

template <class T>
T dot(const T* a, const T* b, int64_t n) {
  T sums[4] = {0, 0, 0, 0};  // four at a time: one sum waits for itself
  int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (int64_t l = 0; l < 4; ++l) sums[l] += a[i + l] * b[i + l];
  for (; i < n; ++i) sums[0] += a[i] * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

template <class T>
void add_scaled(T* to, T factor, const T* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

/// Scores [m] to exp(score − largest); gives their sum and the largest.
template <class T>
std::pair<T, T> exponentials(std::vector<T>& scores) {
  const T largest = *std::max_element(scores.begin(), scores.end());
  T sum = 0;
  for (auto& score : scores) score = std::exp(score - largest), sum += score;
  return {sum, largest};
}

/// Keys and values of the last n frames, in plain loops: for one frame the calls of single operations took
/// longer than what they computed. The order of keys does not matter: the oldest one's place is taken.
class NewestSteps : public FrameSteps {
 public:
  NewestSteps(int64_t heads, int64_t window, at::Tensor in, at::Tensor out)
      : heads_(heads), window_(window), in_(std::move(in)), out_(std::move(out)) {}

 protected:
  at::Tensor pushed(const at::Tensor& frame) override {
    const int64_t streams = frame.size(0), width = frame.size(1);
    if (!keys_.defined())
      keys_ = at::empty({streams, window_, width}, frame.options()), values_ = keys_.clone();
    const auto all = frame_product(frame, in_, 3 * width);
    auto seen = at::zeros({streams, width}, frame.options());
    AT_DISPATCH_FLOATING_TYPES(frame.scalar_type(), "TimeAttention", [&] {
      for (int64_t s = 0; s < streams; ++s)
        look<scalar_t>(s, width, all.data_ptr<scalar_t>() + s * 3 * width,
                       seen.data_ptr<scalar_t>() + s * width);
    });
    ++count_;
    ops::CostRecorder::add(2 * streams * std::min(count_, window_) * width);
    return frame_product(seen, out_, width);
  }
  void forget() override {
    keys_ = values_ = at::Tensor();
    count_ = 0;
  }

 private:
  /// Stream s: query, key and value of its frame side by side [3 · width] → what it sees [width].
  template <class T>
  void look(int64_t s, int64_t width, const T* all, T* seen) {
    const int64_t d = width / heads_, m = std::min(count_ + 1, window_), slot = count_ % window_;
    auto* keys = keys_.data_ptr<T>() + s * window_ * width;
    auto* values = values_.data_ptr<T>() + s * window_ * width;
    std::copy_n(all + width, width, keys + slot * width);
    std::copy_n(all + 2 * width, width, values + slot * width);
    const T scale = 1 / std::sqrt(static_cast<T>(d));
    thread_local std::vector<T> scores;  // of the window, which every step of every stream would ask for
    scores.resize(static_cast<size_t>(m));
    for (int64_t from = 0; from < width; from += d) {
      for (int64_t j = 0; j < m; ++j)
        scores[static_cast<size_t>(j)] = scale * dot(all + from, keys + j * width + from, d);
      const T sum = exponentials(scores).first;
      for (int64_t j = 0; j < m; ++j)
        add_scaled(seen + from, scores[static_cast<size_t>(j)] / sum, values + j * width + from, d);
    }
  }

  int64_t heads_, window_;
  at::Tensor in_, out_, keys_, values_;
  int64_t count_ = 0;
};

/// One head of one stream: for every frame of the window its query, key and value, the sum of its
/// exponentials and the values weighted by them. What leaves is subtracted and what comes is added.
class RetroactiveHead {
 public:
  RetroactiveHead(int64_t window, int64_t d) : window_(window), d_(d), keys_(size()), values_(size()) {
    queries_ = keys_, sums_ = keys_;
    totals_.resize(static_cast<size_t>(window)), largest_ = totals_, errors_ = totals_;
  }

  /// The next frame's query over √d, key and value [d]; adds the mean answer of the window to `mean` [d].
  void take(const double* q, const double* k, const double* v, double* mean) {
    const int64_t slot = count_ % window_, m = std::min(count_ + 1, window_);
    const bool sure = move_columns(k, v, slot);
    std::copy_n(q, d_, at(queries_, slot)), std::copy_n(k, d_, at(keys_, slot)),
        std::copy_n(v, d_, at(values_, slot));
    ++count_;
    for (int64_t i = sure ? slot : 0; i < (sure ? slot + 1 : m); ++i) rebuild(i, m);
    for (int64_t i = 0; i < m; ++i)
      add_scaled(mean, 1 / (totals_[static_cast<size_t>(i)] * static_cast<double>(m)), at(sums_, i), d_);
    ops::CostRecorder::add(m * d_);
  }

 private:
  // Relative error up to which sums that were added to and subtracted from are trusted.
  static constexpr double kTrusted = 1e-10;

  size_t size() const { return static_cast<size_t>(window_ * d_); }
  double* at(std::vector<double>& rows, int64_t i) const { return rows.data() + i * d_; }

  /// The column of the frame in `slot` out of all other rows, where the window is full, and the new one in.
  /// False if a row lost too many digits, or has none left.
  bool move_columns(const double* k, const double* v, int64_t slot) {
    const bool full = count_ >= window_;
    const int64_t m = std::min(count_, window_);
    bool sure = true;
    for (int64_t i = 0; i < m; ++i) {
      if (full && i == slot) continue;
      const auto n = static_cast<size_t>(i);
      const double comes = std::exp(dot(at(queries_, i), k, d_) - largest_[n]);
      add_scaled(at(sums_, i), comes, v, d_);
      double leaves = 0;
      if (full) {
        leaves = std::exp(dot(at(queries_, i), at(keys_, slot), d_) - largest_[n]);
        add_scaled(at(sums_, i), -leaves, at(values_, slot), d_);
      }
      totals_[n] += comes - leaves;
      errors_[n] += (comes + leaves) * std::numeric_limits<double>::epsilon();
      sure = sure && errors_[n] < kTrusted * totals_[n];  // false for infinite ones and what is no number
    }
    ops::CostRecorder::add((full ? 4 * (m - 1) : 2 * m) * d_);
    return sure;
  }

  /// Row i from the keys of m frames.
  void rebuild(int64_t i, int64_t m) {
    const auto n = static_cast<size_t>(i);
    std::vector<double> scores;
    for (int64_t j = 0; j < m; ++j) scores.push_back(dot(at(queries_, i), at(keys_, j), d_));
    std::tie(totals_[n], largest_[n]) = exponentials(scores);
    std::fill_n(at(sums_, i), d_, 0.0);
    for (int64_t j = 0; j < m; ++j)
      add_scaled(at(sums_, i), scores[static_cast<size_t>(j)], at(values_, j), d_);
    errors_[n] = 0;
    ops::CostRecorder::add(2 * m * d_);
  }

  int64_t window_, d_;
  std::vector<double> keys_, values_, queries_, sums_;  // [n, d]; sums of values by their exponentials
  std::vector<double> totals_, largest_, errors_;       // [n]
  int64_t count_ = 0;
};

class AllSteps : public FrameSteps {
 public:
  AllSteps(int64_t heads, int64_t window, at::Tensor in, at::Tensor out)
      : heads_(heads), window_(window), in_(std::move(in)), out_(std::move(out)) {}

 protected:
  at::Tensor pushed(const at::Tensor& frame) override {
    const int64_t streams = frame.size(0), width = frame.size(1), d = width / heads_;
    const auto all = frame_product(frame, in_, 3 * width);
    auto mean = at::empty({streams, width}, frame.options());
    if (state_.empty()) state_.assign(static_cast<size_t>(streams * heads_), {window_, d});
    AT_DISPATCH_FLOATING_TYPES(frame.scalar_type(), "TimeAttention", [&] {
      for (int64_t s = 0; s < streams; ++s)
        look(s, width, all.data_ptr<scalar_t>() + s * 3 * width, mean.data_ptr<scalar_t>() + s * width);
    });
    return frame_product(mean, out_, width);
  }
  void forget() override { state_.clear(); }

 private:
  /// Stream s: query, key and value of its frame side by side [3 · width] → the mean answer [width].
  template <class T>
  void look(int64_t s, int64_t width, const T* all, T* mean) {
    const int64_t d = width / heads_;
    const double scale = 1 / std::sqrt(static_cast<double>(d));
    wide_.assign(all, all + 3 * width), mean_.assign(static_cast<size_t>(width), 0);
    for (int64_t c = 0; c < width; ++c) wide_[static_cast<size_t>(c)] *= scale;
    for (int64_t h = 0; h < heads_; ++h) {
      const auto* own = wide_.data() + h * d;
      state_[static_cast<size_t>(s * heads_ + h)].take(own, own + width, own + 2 * width,
                                                       mean_.data() + h * d);
    }
    for (int64_t c = 0; c < width; ++c) mean[c] = static_cast<T>(mean_[static_cast<size_t>(c)]);
  }

  int64_t heads_, window_;
  at::Tensor in_, out_;
  std::vector<RetroactiveHead> state_;
  std::vector<double> wide_, mean_;  // of one stream, in f64
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
