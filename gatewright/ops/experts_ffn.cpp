#include "gatewright/ops/experts_ffn.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "gatewright/base/check.h"
#include "gatewright/kernels/plan/plan.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/moe_ffn_problem.h"

namespace gw::ops {
namespace {

struct Layout {
  bool gate, turns, transposed;
};

Layout layout_of(const std::string& name) {
  static const std::vector<std::string> known{"cat", "interleaved", "up", "cat_t", "interleaved_t", "up_t"};
  const auto at = std::find(known.begin(), known.end(), name) - known.begin();
  GW_CHECK(at < 6, "experts_ffn: expected a layout, got \"{}\"{}", name, near_miss(name, known));
  return {at % 3 != 2, at % 3 == 1, at >= 3};
}

/// Gate and up of dimension 1 of a stack or a bias.
std::pair<at::Tensor, at::Tensor> halves(const at::Tensor& both, const Layout& layout) {
  if (!both.defined() || !layout.gate) return {at::Tensor(), both};
  const auto h = both.size(1) / 2;
  if (layout.turns) return {both.slice(1, 0, 2 * h, 2), both.slice(1, 1, 2 * h, 2)};
  return {both.narrow(1, 0, h), both.narrow(1, h, h)};
}

FfnWeights views(const ExpertStacks& s, const Layout& layout) {
  const auto turned = [&](const at::Tensor& t) {
    return layout.transposed && t.defined() ? t.transpose(1, 2) : t;
  };
  const auto [gate, up] = halves(turned(s.first), layout);
  const auto [gate_bias, up_bias] = halves(s.first_bias, layout);
  return {gate, up, turned(s.down), gate_bias, up_bias, s.down_bias};
}

/// What forward and backward share: the checked call, with rows of the routing weights.
struct Experts {
  RouteRows rows;
  FfnCall call;
  std::vector<at::Tensor> in;
  at::ScalarType type;
};

void check_tokens(const at::Tensor& x, const at::Tensor& index, const at::Tensor& weight,
                  const at::Tensor& token, const FfnWeights& w) {
  GW_CHECK(x.dim() == 2 && x.is_floating_point() && x.device().is_cpu() && x.size(1) == w.up.size(2),
           "experts_ffn: expected x [T, {}] of a floating type on the CPU, got [{}] in {} on {}",
           w.up.size(2), fmt::join(x.sizes(), ", "), c10::toString(x.scalar_type()), x.device().str());
  const auto rows = token.defined() ? token.numel() : x.size(0);
  GW_CHECK(index.dim() == 2 && index.size(0) == rows,
           "experts_ffn: expected expert ids [{}, K], a row per token, got [{}]", rows,
           fmt::join(index.sizes(), ", "));
  GW_CHECK(weight.sizes() == index.sizes() && weight.is_floating_point() && weight.device().is_cpu(),
           "experts_ffn: expected routing weights [{}] of a floating type as the ids, got [{}] in {}",
           fmt::join(index.sizes(), ", "), fmt::join(weight.sizes(), ", "),
           c10::toString(weight.scalar_type()));
}

Experts prepared_call(const at::Tensor& x, const at::Tensor& index, const at::Tensor& weight,
                      const ExpertStacks& stacks, const FfnOptions& options, const at::Tensor& token) {
  const auto w = expert_views(stacks);
  Experts out;
  out.type = w.up.scalar_type();
  GW_CHECK(out.type == at::kFloat || out.type == at::kBFloat16 || out.type == at::kDouble,
           "experts_ffn: expected weights in f32, bf16 or f64, got {}; convert them with .to(torch.bfloat16)",
           c10::toString(out.type));
  check_ffn_weights(w, w.up);
  GW_CHECK(w.up.size(1) > 0 && w.up.size(2) > 0,
           "experts_ffn: expected inputs and hidden values, got {} and {}", w.up.size(2), w.up.size(1));
  check_tokens(x, index, weight, token, w);
  out.rows = route_rows(index, w.up.size(0));
  const auto activation = ffn_activation(options.activation);
  auto row = out.rows.token();
  if (token.defined()) row = token.index_select(0, row);
  out.call = {row, out.rows.offsets, activation, ffn_bounds(options, w.gate.defined()), w.gate.defined(), {}};
  out.in = {x.to(out.type), weight.reshape(-1).index_select(0, out.rows.slot),
            w.gate,         w.up,
            w.down,         w.gate_bias,
            w.up_bias,      w.down_bias,
            at::Tensor()};
  if (token.defined()) check_ffn_rows(out.in[kX], row, out.rows.offsets, out.in[kWeight], w.up.size(0));
  return out;
}

/// Where gate and up of N rows lie in `kept`.
std::pair<at::Tensor, at::Tensor> kept_views(const at::Tensor& kept, const Experts& e) {
  const int64_t n = e.rows.offsets.back(), h = e.in[kUp].size(1);
  const auto flat = kept.view(-1);
  const auto up = flat.narrow(0, 0, n * h).view({n, h});
  return {e.call.glu ? flat.narrow(0, n * h, n * h).view({n, h}) : at::Tensor(), up};
}

template <class T>
ExpertsForward forward(const Experts& e, int64_t slots, bool keep) {
  const FfnPrepared<T> prepared(e.in, e.call);
  const auto& p = prepared.problem;
  const auto options = e.in[kX].options().requires_grad(false);
  ExpertsForward out;
  at::Tensor gate, up;
  if (keep) {
    out.kept = pooled_empty({slots, p.hidden * (e.call.glu ? 2 : 1)}, options);
    if (p.offsets[p.experts] < slots) out.kept.zero_();
    std::tie(gate, up) = kept_views(out.kept, e);
  } else {
    out.kept = at::empty({0}, options);
  }
  out.y = ffn_run(prepared, gate, up);
  return out;
}

template <class T>
void backward(const Experts& e, const at::Tensor& kept, const at::Tensor& dy, const std::vector<bool>& wanted,
              std::vector<at::Tensor>& out) {
  const FfnPrepared<T> prepared(e.in, e.call);
  at::Tensor gate, up;
  if (kept.numel() > 0) std::tie(gate, up) = kept_views(kept, e);
  ffn_back(prepared, gate, up, dy, wanted, out);
}

template <class Body>
auto by_type(at::ScalarType type, const Body& body) {
  if (type == at::kFloat) return body(float());
  if (type == at::kBFloat16) return body(kernels::Bf16());
  return body(double());
}

at::Tensor as(const at::Tensor& gradient, const at::Tensor& input) {
  return gradient.defined() ? gradient.to(input.scalar_type()) : gradient;
}

}  // namespace

FfnWeights expert_views(const ExpertStacks& s) {
  const auto layout = layout_of(s.layout);
  GW_CHECK(s.first.defined() && s.first.dim() == 3 && s.down.defined() && s.down.dim() == 3,
           "experts_ffn: expected stacks of three dimensions, got {} and {}",
           s.first.defined() ? s.first.dim() : 0, s.down.defined() ? s.down.dim() : 0);
  const auto rows = s.first.size(layout.transposed ? 2 : 1);
  GW_CHECK(!layout.gate || rows % 2 == 0,
           "experts_ffn: expected gate and up of one size in layout {}, got {} rows", s.layout, rows);
  GW_CHECK(!s.first_bias.defined() || (s.first_bias.dim() == 2 && s.first_bias.size(1) == rows),
           "experts_ffn: expected a first bias [{}, {}], got [{}]", s.first.size(0), rows,
           fmt::join(s.first_bias.sizes(), ", "));
  return views(s, layout);
}

at::Tensor RouteRows::token() const { return slot.div(std::max<int64_t>(per_token, 1), "floor"); }

RouteRows route_rows(const at::Tensor& index, int64_t experts) {
  GW_CHECK(index.dim() == 2 && index.scalar_type() == at::kLong && index.device().is_cpu(),
           "route_rows: expected expert ids [T, K] in int64 on the CPU, got {} dimensions in {} on {}",
           index.dim(), c10::toString(index.scalar_type()), index.device().str());
  GW_CHECK(experts > 0, "route_rows: expected at least one expert, got {}", experts);
  const auto ids = index.contiguous();
  RouteRows out{std::vector<int64_t>(static_cast<size_t>(experts) + 1),
                at::empty({ids.numel()}, ids.options()), ids.size(1)};
  const auto fault = kernels::sort_routes(ids.data_ptr<int64_t>(), ids.size(0), ids.size(1), experts,
                                          out.offsets.data(), out.slot.data_ptr<int64_t>());
  GW_CHECK(
      fault < 0,
      "route_rows: expected expert ids from 0 on, got {} for token {}; ids of {} or more are passed over",
      ids.data_ptr<int64_t>()[fault], fault / ids.size(1), experts);
  out.slot = out.slot.narrow(0, 0, out.offsets.back());
  return out;
}

ExpertsForward experts_ffn(const at::Tensor& x, const at::Tensor& index, const at::Tensor& weight,
                           const ExpertStacks& stacks, const FfnOptions& options, bool keep,
                           const PackedFfn& packed, const at::Tensor& token) {
  auto e = prepared_call(x, index, weight, stacks, options, token);
  if (packed.defined()) {
    check_packed({e.in[kGate], e.in[kUp], e.in[kDown], {}, {}, {}}, packed);
    e.call.packed = packed;
  }
  const auto& up = e.in[kUp];
  CostRecorder::add(e.rows.offsets.back() * up.size(1) *
                    (up.size(2) * (e.call.glu ? 2 : 1) + e.in[kDown].size(1)));
  auto out = by_type(e.type, [&](auto t) { return forward<decltype(t)>(e, index.numel(), keep); });
  out.y = out.y.to(x.scalar_type());
  return out;
}

ExpertsGradients experts_ffn_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& index,
                                      const at::Tensor& weight, const ExpertStacks& stacks,
                                      const FfnOptions& options, const at::Tensor& kept,
                                      const std::array<bool, 6>& wanted, const at::Tensor& token) {
  const auto e = prepared_call(x, index, weight, stacks, options, token);
  const auto layout = layout_of(stacks.layout);
  GW_CHECK(dy.dim() == 2 && dy.size(0) == x.size(0) && dy.size(1) == e.in[kDown].size(1),
           "experts_ffn: expected dy [{}, {}], got [{}]", x.size(0), e.in[kDown].size(1),
           fmt::join(dy.sizes(), ", "));
  const auto like = [](const at::Tensor& t, bool asked) {
    return asked && t.defined() ? pooled_empty(t.sizes(), t.options().requires_grad(false)) : at::Tensor();
  };
  ExpertsGradients g;
  const ExpertStacks to{like(stacks.first, wanted[2]), like(stacks.down, wanted[3]), {}, {}, stacks.layout};
  const auto place = views(to, layout);
  const bool first_bias = wanted[4] && stacks.first_bias.defined(),
             down_bias = wanted[5] && stacks.down_bias.defined();
  std::vector<at::Tensor> out{{}, {}, place.gate, place.up, place.down, {}, {}, {}, {}};
  const std::vector<bool> want{wanted[0],  wanted[1], wanted[2] && e.call.glu,
                               wanted[2],  wanted[3], first_bias && e.call.glu,
                               first_bias, down_bias, false};
  by_type(e.type, [&](auto t) { backward<decltype(t)>(e, kept, dy, want, out); });
  g.x = as(out[kX], x), g.first = to.first, g.down = to.down,
  g.down_bias = as(out[kDownBias], stacks.down_bias);
  if (wanted[1]) {
    g.weight = at::zeros({weight.numel()}, weight.options().requires_grad(false));
    g.weight.index_copy_(0, e.rows.slot, out[kWeight].to(weight.scalar_type()));
    g.weight = g.weight.view(weight.sizes());
  }
  if (first_bias) {
    g.first_bias = at::empty(stacks.first_bias.sizes(), stacks.first_bias.options().requires_grad(false));
    const auto [gate, up] = halves(g.first_bias, layout);
    if (e.call.glu) gate.copy_(out[kGateBias]);
    up.copy_(out[kUpBias]);
  }
  return g;
}

}  // namespace gw::ops
