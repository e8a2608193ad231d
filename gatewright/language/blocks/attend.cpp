#include "gatewright/language/blocks/attend.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/ops/attend_by_rows.h"
#include "gatewright/ops/first_order.h"

namespace gw::inline language {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kQueries = 128;  // at a time: their scores of 4096 keys are 2 MB a head

/// 0 where query i of a tile sees key j, −∞ elsewhere; the tile's first query is token `at`, the first key
/// token `from`.
at::Tensor mask_of(int64_t queries, int64_t keys, int64_t at, int64_t from, int64_t window,
                   const at::TensorOptions& options) {
  const auto i = at::arange(at, at + queries, at::kLong).unsqueeze(1);
  const auto j = at::arange(from, from + keys, at::kLong).unsqueeze(0);
  auto hidden = j > i;
  if (window > 0) hidden = hidden | (j <= i - window);
  return at::zeros({queries, keys}, options).masked_fill(hidden, -std::numeric_limits<double>::infinity());
}

at::Tensor chances(const at::Tensor& score, const at::Tensor& sink) {
  if (!sink.defined()) return at::softmax(score, -1);
  const auto more = sink.to(score.scalar_type()).view({score.size(0), score.size(1), 1, 1});
  const auto all = at::softmax(at::cat({score, more.expand({-1, -1, score.size(2), 1})}, -1), -1);
  return all.narrow(-1, 0, score.size(-1));
}

/// The tokens of some queries and of the keys that they may see.
struct Tile {
  int64_t done = 0, count = 0;  ///< queries from `done` on
  int64_t at = 0, from = 0;     ///< place of the first query and of the first key among all tokens
  int64_t last = 0;             ///< one behind the last key
  int64_t keys() const { return last - from; }
};

std::vector<Tile> tiles_of(int64_t queries, int64_t tokens, const AttendOptions& options) {
  std::vector<Tile> tiles;
  for (int64_t done = 0; done < queries; done += kQueries) {
    const int64_t at = tokens - queries + done, count = std::min(kQueries, queries - done);
    const int64_t from = options.window > 0 ? std::max<int64_t>(0, at - options.window + 1) : 0;
    tiles.push_back({done, count, at, from, options.causal ? at + count : tokens});
  }
  return tiles;
}

/// Attention of one sequence, tile by tile.
class Attending {
 public:
  Attending(at::Tensor q, at::Tensor k, at::Tensor v, const AttendOptions& options)
      : q_(std::move(q)), k_(std::move(k)), v_(std::move(v)), options_(options) {
    heads_ = q_.size(0), shared_ = k_.size(0), group_ = heads_ / shared_;
    sum_ = q_.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    if (options.sink.defined()) sink_ = options.sink.view({shared_, group_});
  }
  std::vector<Tile> tiles() const { return tiles_of(q_.size(1), k_.size(1), options_); }
  at::Tensor rows(const Tile& t) const {
    return (q_.narrow(1, t.done, t.count) * options_.scale).reshape({shared_, group_ * t.count, q_.size(2)});
  }
  /// Shapes: → [Hk, Hq / Hk, queries, keys] in the type of sums.
  at::Tensor chances_of(const at::Tensor& rows, const Tile& t) const {
    auto score = at::bmm(rows, keys(t).transpose(1, 2)).to(sum_).view({shared_, group_, t.count, t.keys()});
    if (options_.relative != nullptr) {
      const auto bias = options_.relative->tile(t.at, t.count, t.from, t.keys()).to(sum_);
      score = score + bias.repeat({heads_ / bias.size(0), 1, 1}).view(score.sizes());
    }
    if (options_.causal && (t.count > 1 || options_.window > 0))
      score = score + mask_of(t.count, t.keys(), t.at, t.from, options_.window, score.options());
    return chances(score, sink_);
  }
  at::Tensor answer(const Tile& t) const {
    const auto p = flat(chances_of(rows(t), t).to(v_.scalar_type()), t);
    return at::bmm(p, values(t)).view({heads_, t.count, v_.size(2)});
  }
  at::Tensor answer() const {
    std::vector<at::Tensor> out;
    for (const auto& tile : tiles()) out.push_back(answer(tile));
    return out.size() == 1 ? out.front() : at::cat(out, 1);
  }

  struct Gradients {
    at::Tensor q, k, v, sink;
  };
  /// Scores are computed again, a tile at a time.
  Gradients back(const at::Tensor& gradient) const {
    const auto options = q_.options().dtype(sum_).requires_grad(false);
    Gradients g{at::empty_like(q_), at::zeros(k_.sizes(), options), at::zeros(v_.sizes(), options),
                at::zeros({shared_, group_}, options)};
    for (const auto& tile : tiles()) back(tile, gradient, g);
    return {g.q, g.k.to(k_.scalar_type()), g.v.to(v_.scalar_type()), g.sink.view({heads_})};
  }

 private:
  at::Tensor keys(const Tile& t) const { return k_.narrow(1, t.from, t.keys()); }
  at::Tensor values(const Tile& t) const { return v_.narrow(1, t.from, t.keys()); }
  at::Tensor flat(const at::Tensor& p, const Tile& t) const {
    return p.reshape({shared_, group_ * t.count, t.keys()});
  }

  /// dS = P ∘ (dP − Σ_j P_j dP_j), of the sink −(1 − Σ_j P_j) Σ_j P_j dP_j.
  void back(const Tile& t, const at::Tensor& gradient, Gradients& g) const {
    const auto rows_here = rows(t), p = chances_of(rows_here, t);
    const auto dy = gradient.narrow(1, t.done, t.count).reshape({shared_, group_ * t.count, v_.size(2)});
    g.v.narrow(1, t.from, t.keys()).add_(at::bmm(flat(p.to(v_.scalar_type()), t).transpose(1, 2), dy));
    const auto dp = at::bmm(dy, values(t).transpose(1, 2)).to(sum_).view(p.sizes());
    const auto mean = (dp * p).sum(-1, true);
    if (sink_.defined()) g.sink.sub_(((1 - p.sum(-1, true)) * mean).sum({2, 3}));
    const auto ds = flat((p * (dp - mean)).to(q_.scalar_type()), t);
    g.q.narrow(1, t.done, t.count)
        .copy_((at::bmm(ds, keys(t)) * options_.scale).view({heads_, t.count, q_.size(2)}));
    g.k.narrow(1, t.from, t.keys()).add_(at::bmm(ds.transpose(1, 2), rows_here));
  }

  at::Tensor q_, k_, v_, sink_;
  AttendOptions options_;
  int64_t heads_, shared_, group_;
  at::ScalarType sum_;
};

/// Keeps queries, keys and values for the backward pass, and no score.
class Streamed : public torch::autograd::Function<Streamed> {
 public:
  /// `sink` is empty where there is none: libtorch takes no undefined inputs.
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const at::Tensor& sink, double scale, int64_t window,
                            bool causal) {
    ctx->save_for_backward({q, k, v, sink});
    ctx->saved_data["scale"] = scale, ctx->saved_data["window"] = window;
    ctx->saved_data["causal"] = causal;
    return Attending(q, k, v, options_of(scale, window, sink, causal)).answer();
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    ops::check_first_order("attention");
    const auto saved = ctx->get_saved_variables();
    const auto options = options_of(ctx->saved_data["scale"].toDouble(), ctx->saved_data["window"].toInt(),
                                    saved[3], ctx->saved_data["causal"].toBool());
    const auto g = Attending(saved[0], saved[1], saved[2], options).back(gradient[0]);
    return {g.q, g.k, g.v, options.sink.defined() ? g.sink.to(saved[3].scalar_type()) : at::Tensor(),
            {},  {},  {}};
  }

 private:
  static AttendOptions options_of(double scale, int64_t window, const at::Tensor& sink, bool causal) {
    return {scale, window, sink.numel() > 0 ? sink : at::Tensor(), causal};
  }
};

bool recorded(const at::Tensor& t) { return t.defined() && t.requires_grad(); }

}  // namespace

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const AttendOptions& options) {
  const int64_t heads = q.size(0), n = q.size(1), shared = k.size(0), s = k.size(1);
  const bool fits = options.causal ? n <= s : s > 0 && options.window == 0;
  GW_CHECK(heads % shared == 0 && fits && v.size(0) == shared && v.size(1) == s && k.size(2) == q.size(2),
           "attention: expected q [H, n, d], k [G, S, d] and v [G, S, dv] with H a multiple of G and n <= S "
           "(without causality: S > 0 and no window), got H {}, n {}, G {}, S {}, window {}",
           heads, n, shared, s, options.window);
  const ops::AttendCall call{options.scale, options.window, options.sink, options.causal};
  if (options.relative == nullptr && ops::attend_by_rows_fits(q, k, v, call))
    return ops::attend_by_rows(q, k, v, call).transpose(0, 1);
  const bool recording =
      at::GradMode::is_enabled() && (recorded(q) || recorded(k) || recorded(v) || recorded(options.sink));
  // The scores of one tile are kept: computing them again would save nothing that counts. A bias of distances
  // learns through the recorded scores.
  if (!recording || n <= kQueries || options.relative != nullptr) return Attending(q, k, v, options).answer();
  const auto sink = options.sink.defined() ? options.sink : at::empty({0}, q.options().requires_grad(false));
  return Streamed::apply(q, k, v, sink, options.scale, options.window, options.causal);
}

}  // namespace gw::inline language
