#include "gatewright/ops/attend_by_rows.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/kernels/attend/family.h"
#include "gatewright/ops/thread_pool.h"

namespace gw::ops {
namespace {

constexpr int64_t kTileScores =
    48 << 10;                         // of a tile: with its keys and values they stay in a cache of 512 kB
constexpr int64_t kTileQueries = 48;  // queries that share what is read of keys and values

/// Keys and values were last read a token ago, and come from memory or the last cache.
int attend_workers(int64_t bytes, int64_t operations) {
  constexpr double kBytes = 15e9, kOperations = 40e9;
  return worthwhile_workers(
      std::max(static_cast<double>(bytes) / kBytes, static_cast<double>(operations) / kOperations));
}

inline float as_float(float value) { return value; }
inline float as_float(kernels::Bf16 value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value.bits) << 16);
}
inline void narrowed_to(float value, float& to) { to = value; }
inline void narrowed_to(float value, kernels::Bf16& to) { to.bits = at::BFloat16(value).x; }

void run_tile(const kernels::AttendTile<float>& tile) { kernels::attend_family()().f32(tile); }
void run_tile(const kernels::AttendTile<kernels::Bf16>& tile) { kernels::attend_family()().bf16(tile); }
void turn_keys(const float* k, int64_t stride, int64_t count, int64_t width, float* to) {
  kernels::attend_family()().turn_f32(k, stride, count, width, to);
}
void turn_keys(const kernels::Bf16* k, int64_t stride, int64_t count, int64_t width, float* to) {
  kernels::attend_family()().turn_bf16(k, stride, count, width, to);
}

/// Tiles of neighbouring queries of the heads that share keys.
template <class T>
class AttendingRows {
 public:
  AttendingRows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttendCall& call)
      : q_(q), k_(k), v_(v), call_(call), heads_(q.size(0)), shared_(k.size(0)), group_(heads_ / shared_) {
    queries_ = q.size(1), tokens_ = k.size(1), width_ = q.size(2), value_width_ = v.size(2);
    if (call.sink.defined()) sink_ = call.sink.detach().to(at::kFloat).contiguous();
    const int64_t seen_most = call.window > 0 ? call.window + kTileQueries + kernels::kAttendPad : tokens_;
    keys_ = std::min(tokens_, seen_most);
    each_ = std::clamp<int64_t>(std::min(kTileScores / keys_, kTileQueries) / group_, 1, queries_);
  }

  at::Tensor run() {
    const auto y = at::empty({queries_, heads_, value_width_}, q_.options().requires_grad(false));
    to_ = static_cast<T*>(y.data_ptr());
    const int64_t tiles = (queries_ + each_ - 1) / each_, values = width_ + value_width_;
    TorchPool pool(attend_workers(shared_ * keys_ * values * static_cast<int64_t>(sizeof(T)),
                                  2 * heads_ * queries_ * keys_ * values));
    Workspace memory;
    std::vector<Scratch> scratch;
    for (int w = 0; w < pool.workers(); ++w) scratch.push_back(take(memory));
    if (tiles > 1) turn(pool, memory);
    // Head by head: what two threads read of one stays in a cache that they share, what they read of 16 does
    // not. Of a head the last tiles see the most keys: they go first, so that none of them is waited for.
    pool.run(shared_ * tiles, [&](int64_t task, int worker) {
      tile(task / tiles, (tiles - 1 - task % tiles) * each_, scratch[static_cast<size_t>(worker)]);
    });
    return y;
  }

 private:
  struct Scratch {
    float *q, *scores, *panel, *factors, *y, *sink;
    int64_t *first, *last;
  };
  /// The keys that query i sees.
  std::pair<int64_t, int64_t> seen(int64_t i) const {
    if (!call_.causal) return {0, tokens_};
    const int64_t place = tokens_ - queries_ + i;
    return {call_.window > 0 ? std::max<int64_t>(0, place - call_.window + 1) : 0, place + 1};
  }
  Scratch take(Workspace& memory) const {
    const int64_t rows = each_ * group_, scores = rows * kernels::padded_keys(keys_);
    const int64_t panel = width_ * kernels::kAttendPad,
                  floats = scores + panel + rows * (width_ + value_width_ + 2);
    auto* at = static_cast<float*>(memory.take(floats * static_cast<int64_t>(sizeof(float))));
    const auto next = [&](int64_t count) { return std::exchange(at, at + count); };
    Scratch s{};
    s.q = next(rows * width_), s.scores = next(scores), s.panel = next(panel),
    s.y = next(rows * value_width_);
    s.factors = next(rows), s.sink = next(rows);
    s.first = static_cast<int64_t*>(memory.take(2 * rows * static_cast<int64_t>(sizeof(int64_t))));
    s.last = s.first + rows;
    return s;
  }

  /// All keys once, in pieces, for the tiles of all queries.
  void turn(TorchPool& pool, Workspace& memory) {
    constexpr int64_t kPiece = 8 * kernels::kAttendPad;
    const int64_t pieces = (tokens_ + kPiece - 1) / kPiece, size = kernels::padded_keys(tokens_) * width_;
    turned_ = static_cast<float*>(memory.take(shared_ * size * static_cast<int64_t>(sizeof(float))));
    pool.run(shared_ * pieces, [&](int64_t task, int) {
      const int64_t head = task / pieces, first = task % pieces * kPiece;
      turn_keys(at(k_, head, first), k_.stride(1), std::min(kPiece, tokens_ - first), width_,
                turned_ + head * size + first * width_);
    });
  }

  const T* at(const at::Tensor& t, int64_t head, int64_t token) const {
    return static_cast<const T*>(t.data_ptr()) + head * t.stride(0) + token * t.stride(1);
  }

  void tile(int64_t head, int64_t begin, const Scratch& s) const {
    const int64_t count = std::min(each_, queries_ - begin);
    const auto scale = static_cast<float>(call_.scale);
    kernels::AttendTile<T> t;
    t.rows = count * group_, t.width = width_, t.value_width = value_width_;
    for (int64_t r = 0; r < t.rows; ++r) {
      const int64_t query = begin + r / group_, own = head * group_ + r % group_;
      std::tie(s.first[r], s.last[r]) = seen(query);
      const T* from = at(q_, own, query);
      for (int64_t i = 0; i < width_; ++i) s.q[r * width_ + i] = as_float(from[i]) * scale;
      if (sink_.defined()) s.sink[r] = sink_.data_ptr<float>()[own];
    }
    t.q = s.q, t.first = s.first, t.last = s.last, t.sink = sink_.defined() ? s.sink : nullptr;
    t.k = at(k_, head, 0), t.k_stride = k_.stride(1), t.v = at(v_, head, 0), t.v_stride = v_.stride(1);
    t.from = s.first[0] / kernels::kAttendPad * kernels::kAttendPad, t.keys = s.last[t.rows - 1] - t.from;
    if (turned_ != nullptr) t.turned = turned_ + head * kernels::padded_keys(tokens_) * width_;
    t.scores = s.scores, t.panel = s.panel, t.factors = s.factors, t.y = s.y;
    run_tile(t);
    for (int64_t r = 0; r < t.rows; ++r) {
      T* to = to_ + ((begin + r / group_) * heads_ + head * group_ + r % group_) * value_width_;
      for (int64_t i = 0; i < value_width_; ++i) narrowed_to(s.y[r * value_width_ + i], to[i]);
    }
  }

  const at::Tensor &q_, &k_, &v_;
  const AttendCall& call_;
  int64_t heads_, shared_, group_, queries_, tokens_, width_, value_width_;
  int64_t keys_, each_;  ///< of a tile: keys at most, queries
  at::Tensor sink_;
  T* to_ = nullptr;
  float* turned_ = nullptr;  ///< [Hk], each as turn() of the kernels leaves it
};

bool readable_rows(const at::Tensor& t, at::ScalarType type) {
  return t.device().is_cpu() && t.layout() == at::kStrided && t.scalar_type() == type &&
         (t.stride(2) == 1 || t.size(2) == 1);
}

}  // namespace

bool attend_by_rows_fits(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         const AttendCall& call) {
  const auto type = q.scalar_type();
  const bool recorded =
      at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad() ||
                                     (call.sink.defined() && call.sink.requires_grad()));
  return (type == at::kFloat || type == at::kBFloat16) && !recorded && q.dim() == 3 && k.dim() == 3 &&
         v.dim() == 3 && readable_rows(q, type) && readable_rows(k, type) && readable_rows(v, type) &&
         q.size(1) > 0 && v.size(2) > 0;
}

at::Tensor attend_by_rows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const AttendCall& call) {
  const int64_t tokens = k.dim() == 3 ? k.size(1) : 0;
  GW_ENSURE(attend_by_rows_fits(q, k, v, call) && k.size(0) > 0 && q.size(0) % k.size(0) == 0 &&
                v.size(0) == k.size(0) && v.size(1) == tokens && k.size(2) == q.size(2) && tokens > 0 &&
                (call.causal ? q.size(1) <= tokens : call.window == 0),
            "attention by rows: {} queries and {} tokens", q.dim() == 3 ? q.size(1) : 0, tokens);
  if (q.scalar_type() == at::kFloat) return AttendingRows<float>(q, k, v, call).run();
  return AttendingRows<kernels::Bf16>(q, k, v, call).run();
}

}  // namespace gw::ops
