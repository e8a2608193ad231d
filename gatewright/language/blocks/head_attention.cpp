#include "gatewright/language/blocks/head_attention.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/experts/bank.h"
#include "gatewright/ops/random.h"

namespace gw::inline language {
namespace {

/// Tokens of each text that each head took, head by head.
std::vector<int64_t> taken_of(const RoutingPlan& plan, const at::Tensor& sequence) {
  std::vector<int64_t> lengths;
  const auto text = sequence.index_select(0, plan.token);
  for (int64_t h = 0; h < plan.experts(); ++h) {
    if (plan.rows_of(h) == 0) continue;
    const auto own = text.narrow(0, plan.offsets[static_cast<size_t>(h)], plan.rows_of(h));
    const auto sizes = neighbours("head attention", own);
    lengths.insert(lengths.end(), sizes.begin(), sizes.end());
  }
  return lengths;
}

}  // namespace

HeadAttention::HeadAttention(const MixedAttentionOptions& o, const Rng& rng, bool drawn)
    : AttentionBlock("HeadAttention"),
      options_(o),
      rotary_(o.rotated ? o.head_width : 2, o.rotary),
      router_({o.experts.experts, o.width, o.experts.gate, o.experts.policy, o.experts.balancers,
               rng.fork("gate").key()}) {
  GW_CHECK(o.experts.experts == o.heads, "head attention: expected an expert for each of {} heads, got {}",
           o.heads, o.experts.experts);
  const auto stack = [&](const char* name, int64_t out, int64_t in, int64_t fan) {
    const double deviation = 1 / std::sqrt(static_cast<double>(fan));
    return register_parameter(name, drawn ? ops::normal(rng.fork(name), {o.heads, out, in}, 0, deviation)
                                          : at::empty({o.heads, out, in}));
  };
  router_.register_in(*this, "gate");
  query_ = stack("wq", o.head_width, o.width, o.width), key_ = stack("wk", o.head_width, o.width, o.width);
  value_ = stack("wv", o.head_width, o.width, o.width);
  output_ = stack("wo", o.width, o.head_width, o.heads * o.head_width);
  if (o.experts.output_bias) bias_ = register_parameter("bias", at::zeros({o.width}));
  if (options_.scale == 0)
    options_.scale = (o.rotated ? rotary_.score_scale() : 1) / std::sqrt(static_cast<double>(o.head_width));
}

void HeadAttention::hold(int64_t, int64_t) {
  fail("head attention: expected weights as they are, got a call for codes; take weights = \"file\"");
}

at::Tensor HeadAttention::forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer,
                                  Decisions& decisions) {
  const auto& o = options_;
  const auto& pass = decisions.pass;
  GW_CHECK(rows.states.empty(),
           "head attention: expected texts that are whole, got one that is continued; heads choose among all "
           "of its tokens");
  auto inputs = pass.told(decisions.inputs, pass.rng);
  inputs.scores = at::Tensor();  // made ahead for the perceptron's router
  const auto scores = pass.routes_given() ? at::Tensor() : router_.scores(x, inputs);
  auto plan = router_.decide(o.site, scores, x.size(0), inputs, pass, is_training());
  GW_CHECK(!plan.soft(), "head attention: expected a policy that chooses tokens, got one of soft slots");
  const auto taken = x.index_select(0, plan.token);
  const auto head = [&](const at::Tensor& weight) {
    return projected_by_expert(taken, plan, weight).view({plan.rows(), 1, o.head_width});
  };
  auto q = head(query_), k = head(key_);
  const auto v = head(value_);
  if (o.rotated) {
    const Rotary::Angles own{rows.angles.cos.index_select(0, plan.token),
                             rows.angles.sin.index_select(0, plan.token)};
    q = rotary_.rotate(q, own), k = rotary_.rotate(k, own);
  }
  const SequenceRows chosen{taken_of(plan, inputs.sequence), {}, {}};
  const auto seen = attend_rows(q, k, v, chosen, layer, {o.scale, 0, {}, /*causal=*/false});
  auto y = scatter_rows(projected_by_expert(seen, plan, output_), plan.token, plan.weight, x.size(0));
  if (bias_.defined()) y = y + bias_.to(y.scalar_type());
  decisions.plans.push_back({o.site, std::move(plan)});
  return y;
}

}  // namespace gw::inline language
