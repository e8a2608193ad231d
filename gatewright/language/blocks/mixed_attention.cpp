#include "gatewright/language/blocks/mixed_attention.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/experts/bank.h"
#include "gatewright/ops/random.h"

namespace gw::inline language {

void AttentionExperts::fields(OptionVisitor& v) {
  v.integer("experts", experts,
            "pairs of projections, of queries and of their heads' answers; 0: plain attention", 0, 1 << 16);
  v.flag(
      "heads", heads,
      "the experts are the heads themselves, with keys and values of their own, and attend among the tokens "
      "that they take");
  v.part("gate", gate, "scores tokens");
  v.part("policy", policy, "chooses experts, as many for every token");
  v.parts("balancers", balancers, "losses and controllers for the load");
  v.flag("output_bias", output_bias, "a bias after the experts' sum");
}

namespace {

Router::Options routed_heads(const MixedAttentionOptions& o, const Rng& rng) {
  return {o.experts.experts,     o.width, o.experts.gate, o.experts.policy, o.experts.balancers,
          rng.fork("gate").key()};
}

/// How many experts every token has. Errors: ValueError where they differ.
int64_t slots_of(const RoutingPlan& plan, const at::Tensor& sorted) {
  const int64_t tokens = plan.tokens, k = tokens > 0 ? plan.rows() / tokens : 0;
  const bool even = !plan.soft() && k > 0 && k * tokens == plan.rows() &&
                    at::equal(sorted.view({tokens, k}).select(1, 0), at::arange(tokens, at::kLong)) &&
                    at::equal(sorted.view({tokens, k}).select(1, k - 1), at::arange(tokens, at::kLong));
  GW_CHECK(even,
           "mixed attention: expected as many experts for every token, got {} rows of {} tokens; take a "
           "top-k policy",
           plan.rows(), tokens);
  return k;
}

}  // namespace

MixedAttention::MixedAttention(const MixedAttentionOptions& o, const Rng& rng, bool drawn)
    : AttentionBlock("MixedAttention"),
      options_(o),
      rotary_(o.head_width, o.rotary),
      router_(routed_heads(o, rng)) {
  const int64_t inner = o.heads * o.head_width, e = o.experts.experts;
  const auto stack = [&](const char* name, int64_t out, int64_t in) {
    const double deviation = 1 / std::sqrt(static_cast<double>(in));
    return register_parameter(
        name, drawn ? ops::normal(rng.fork(name), {e, out, in}, 0, deviation) : at::empty({e, out, in}));
  };
  const auto project = [&](const char* name) {
    return register_module(name, std::make_shared<Projection>(o.width, inner, false, rng.fork(name), drawn));
  };
  router_.register_in(*this, "gate");
  query_ = stack("wq", inner, o.width), output_ = stack("wo", o.width, inner);
  key_ = project("key"), value_ = project("value");
  if (o.experts.output_bias) bias_ = register_parameter("bias", at::zeros({o.width}));
  if (options_.scale == 0)
    options_.scale = rotary_.score_scale() / std::sqrt(static_cast<double>(o.head_width));
}

void MixedAttention::hold(int64_t bits, int64_t group) {
  key_->hold(bits, group), value_->hold(bits, group);
  for (const auto& [weight, held] : {std::pair{&query_, &held_query_}, std::pair{&output_, &held_output_}}) {
    for (int64_t e = 0; e < weight->size(0); ++e)
      held->push_back(ops::dense_quantised((*weight)[e], {}, bits, group));
    weight->set_data(at::empty({0}, weight->options()));
  }
}

int64_t MixedAttention::held_bytes() const {
  int64_t all = 0;
  for (const auto* held : {&held_query_, &held_output_})
    for (const auto& one : *held) all += one.bytes();
  return all;
}

at::Tensor MixedAttention::forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer,
                                   Decisions& decisions) {
  const auto& o = options_;
  const auto& pass = decisions.pass;
  auto inputs = pass.told(decisions.inputs, pass.rng);
  inputs.scores = at::Tensor();  // made ahead for the perceptron's router
  const auto scores = pass.routes_given() ? at::Tensor() : router_.scores(x, inputs);
  auto plan = router_.decide(o.site, scores, x.size(0), inputs, pass, is_training());
  const auto [sorted, order] = plan.token.sort(/*stable=*/true, /*dim=*/0, /*descending=*/false);
  const int64_t n = x.size(0), k = slots_of(plan, sorted), h = o.heads;
  // Neighbours among the query heads share keys: the slots of a token stand beside each other, head by head.
  const auto queries =
      projected_by_expert(x.index_select(0, plan.token), plan, query_, held_query_).index_select(0, order);
  auto q = queries.view({n, k, h, o.head_width}).transpose(1, 2).reshape({n, h * k, o.head_width});
  auto key = key_->forward(x).view({n, h, o.head_width});
  const auto value = value_->forward(x).view({n, h, o.head_width});
  q = rotary_.rotate(q, rows.angles), key = rotary_.rotate(key, rows.angles);
  const auto seen = attend_rows(q, key, value, rows, layer, {o.scale, 0, {}});
  const auto slots = seen.view({n, h, k, o.head_width}).transpose(1, 2).reshape({n * k, h * o.head_width});
  const auto place = at::empty_like(order).scatter_(0, order, at::arange(n * k, at::kLong));
  const auto answers = projected_by_expert(slots.index_select(0, place), plan, output_, held_output_);
  auto y = scatter_rows(answers, plan.token, plan.weight, n);
  if (bias_.defined()) y = y + bias_.to(y.scalar_type());
  decisions.plans.push_back({o.site, std::move(plan)});
  return y;
}

}  // namespace gw::inline language
