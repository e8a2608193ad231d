#include "gatewright/routing/plan.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/ops/top_k.h"
#include "gatewright/routing/policy.h"

namespace gw::inline routing {
namespace {

at::Tensor to_tensor(const std::vector<int64_t>& values) {
  return at::tensor(at::ArrayRef<int64_t>(values), at::kLong);
}

// Up to here loops on the host take less than the calls of single operations: 4096 slots some 4 µs.
constexpr int64_t kFewValues = 4096;

bool few_floats(const at::Tensor& t) {
  return t.scalar_type() == at::kFloat && t.is_contiguous() && t.device().is_cpu() && t.numel() <= kFewValues;
}

bool recorded(const at::Tensor& t) { return at::GradMode::is_enabled() && t.requires_grad(); }

/// Rows of few tokens, without a tensor of the slots' order.
void fill_rows(const at::Tensor& expert, const at::Tensor& weight, int64_t experts, RoutingPlan& plan) {
  std::vector<int64_t> slots(static_cast<size_t>(expert.numel()));
  const int64_t rows = ops::sort_slots(expert, experts, plan.offsets, slots.data()), k = weight.size(1);
  plan.token = at::empty({rows}, expert.options());
  plan.weight = at::empty({rows}, weight.options().requires_grad(false));
  const auto* from = weight.data_ptr<float>();
  auto* token = plan.token.data_ptr<int64_t>();
  auto* to = plan.weight.data_ptr<float>();
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t slot = slots[static_cast<size_t>(i)];
    token[i] = slot / k, to[i] = from[slot];
  }
}

}  // namespace

RoutingPlan make_plan(const at::Tensor& expert, const at::Tensor& weight, int64_t experts) {
  GW_CHECK(experts >= 1, "plan: expected at least one expert, got {}", experts);
  GW_CHECK(expert.dim() == 2 && expert.scalar_type() == at::kLong,
           "plan: expected expert ids [T, K] of int64, got {} dimensions of {}", expert.dim(),
           c10::toString(expert.scalar_type()));
  GW_CHECK(weight.sizes() == expert.sizes(),
           "plan: expected one weight per expert id ([{}, {}]), got {} weights", expert.size(0),
           expert.size(1), weight.numel());
  RoutingPlan plan;
  plan.tokens = expert.size(0);
  if (few_floats(weight) && !recorded(weight)) {
    fill_rows(expert, weight, experts, plan);
    return plan;
  }
  const auto slots = ops::sort_slots(expert, experts, plan.offsets);
  plan.token = expert.size(1) == 1 ? slots : at::div(slots, expert.size(1), "floor");
  plan.weight = weight.reshape({-1}).index_select(0, slots);
  return plan;
}

RoutingPlan make_expert_plan(const at::Tensor& token, const at::Tensor& weight, int64_t tokens) {
  GW_CHECK(token.dim() == 2 && token.scalar_type() == at::kLong && weight.sizes() == token.sizes(),
           "plan: expected token ids [E, C] of int64 and as many weights, got {} ids of {} and {} weights",
           token.numel(), c10::toString(token.scalar_type()), weight.numel());
  const int64_t experts = token.size(0), slots = token.size(1);
  const auto sorted = token.sort(1);  // empty slots first
  const auto ids = std::get<0>(sorted).contiguous(), from = std::get<1>(sorted).contiguous();
  const int64_t *id = ids.data_ptr<int64_t>(), *slot = from.data_ptr<int64_t>();
  RoutingPlan plan;
  plan.tokens = tokens;
  plan.offsets = {0};
  std::vector<int64_t> chosen, source;
  for (int64_t e = 0; e < experts; ++e) {
    for (int64_t i = e * slots; i < (e + 1) * slots; ++i) {
      GW_CHECK(id[i] >= -1 && id[i] < tokens, "plan: expected token ids in [-1, {}), got {} for expert {}",
               tokens, id[i], e);
      if (id[i] < 0) continue;
      GW_CHECK(i == e * slots || id[i - 1] != id[i],
               "plan: expected distinct tokens per expert, got token {} twice for expert {}", id[i], e);
      chosen.push_back(id[i]);
      source.push_back(e * slots + slot[i]);
    }
    plan.offsets.push_back(static_cast<int64_t>(chosen.size()));
  }
  plan.token = to_tensor(chosen);
  plan.weight = weight.reshape({-1}).index_select(0, to_tensor(source));
  return plan;
}

RoutingPlan constant_plan(int64_t tokens, int64_t experts, int64_t expert) {
  GW_CHECK(expert >= 0 && expert < experts, "plan: expected an expert in [0, {}), got {}", experts, expert);
  RoutingPlan plan;
  plan.tokens = tokens;
  plan.offsets.assign(static_cast<size_t>(experts) + 1, 0);
  for (int64_t e = expert; e < experts; ++e) plan.offsets[static_cast<size_t>(e) + 1] = tokens;
  plan.token = at::arange(tokens, at::kLong);
  plan.weight = at::ones({tokens});
  return plan;
}

at::Tensor expert_of_rows(const RoutingPlan& plan) {
  auto expert = at::empty({plan.rows()}, at::kLong);
  int64_t* out = expert.data_ptr<int64_t>();
  for (int64_t e = 0; e < plan.experts(); ++e)
    std::fill_n(out + plan.offsets[static_cast<size_t>(e)], plan.rows_of(e), e);
  return expert;
}

at::Tensor dense_weights(const RoutingPlan& plan) {
  const auto expert = expert_of_rows(plan);
  if (plan.soft())
    return at::zeros({plan.tokens, plan.experts()}, plan.combine.options())
        .index_add(1, expert, plan.combine);
  const auto flat = at::zeros({plan.tokens * plan.experts()}, plan.weight.options());
  return flat.index_add(0, plan.token * plan.experts() + expert, plan.weight)
      .view({plan.tokens, plan.experts()});
}

at::Tensor chosen_experts(const RoutingPlan& plan) {
  if (plan.soft()) return dense_weights(plan).detach().argmax(1);
  auto chosen = at::full({plan.tokens}, -1, at::kLong);
  int64_t* out = chosen.data_ptr<int64_t>();
  const auto token = plan.token.contiguous();
  for (int64_t e = plan.experts() - 1; e >= 0;
       --e) {  // downwards: the lowest expert of a token is written last
    for (int64_t row = plan.offsets[static_cast<size_t>(e)]; row < plan.offsets[static_cast<size_t>(e) + 1];
         ++row) {
      out[token.data_ptr<int64_t>()[row]] = e;
    }
  }
  return chosen;
}

RoutingPlan merge_plans(const std::vector<RoutingPlan>& plans) {
  GW_CHECK(!plans.empty(), "plan: expected plans to merge, got none");
  RoutingPlan all;
  std::vector<at::Tensor> expert, token, weight, scores;
  for (const auto& plan : plans) {
    GW_CHECK(plan.experts() == plans[0].experts() && !plan.soft(),
             "plan: expected hard plans over {} experts, got {} over {}", plans[0].experts(),
             plan.soft() ? "a soft one" : "one", plan.experts());
    expert.push_back(expert_of_rows(plan));
    token.push_back(plan.token + all.tokens);
    weight.push_back(plan.weight);
    if (plan.scores.defined()) scores.push_back(plan.scores);
    all.tokens += plan.tokens;
  }
  const auto experts = at::cat(expert);
  const auto order = std::get<1>(experts.sort(/*stable=*/true, 0, /*descending=*/false));
  all.token = at::cat(token).index_select(0, order);
  all.weight = at::cat(weight).index_select(0, order);
  all.offsets = {0};
  for (int64_t e = 0; e < plans[0].experts(); ++e) {
    all.offsets.push_back(all.offsets.back());
    for (const auto& plan : plans) all.offsets.back() += plan.rows_of(e);
  }
  if (scores.size() == plans.size()) all.scores = at::cat(scores);
  all.ranks = plans[0].ranks;
  RoutingFacts::each([&](auto member) {
    std::vector<at::Tensor> parts;
    int64_t before = 0;
    for (const auto& plan : plans) {
      const auto& fact = plan.facts.*member;
      if (fact.defined()) parts.push_back(member == &RoutingFacts::sequence ? fact + before : fact);
      before += plan.tokens;  // sequence ids are below T in each part, so this keeps them apart
    }
    if (parts.size() == plans.size()) all.facts.*member = at::cat(parts);
  });
  return all;
}

void validate_plan(const RoutingPlan& plan) {
  GW_ENSURE(!plan.offsets.empty() && plan.offsets.front() == 0, "plan: offsets must start at 0");
  if (plan.soft()) {
    GW_ENSURE(plan.dispatch.size(0) == plan.rows() && plan.combine.size(1) == plan.rows() &&
                  plan.combine.size(0) == plan.tokens,
              "plan: {} slots of {} tokens, dispatch for {}, combine for {}", plan.rows(), plan.tokens,
              plan.dispatch.size(0), plan.combine.size(1));
    return;
  }
  const auto token = plan.token.contiguous();
  GW_ENSURE(token.numel() == plan.rows() && plan.weight.numel() == plan.rows(),
            "plan: {} rows, {} tokens, {} weights", plan.rows(), token.numel(), plan.weight.numel());
  for (int64_t e = 0; e < plan.experts(); ++e) {
    GW_ENSURE(plan.rows_of(e) >= 0, "plan: offsets of expert {} decrease", e);
    for (int64_t row = plan.offsets[static_cast<size_t>(e)]; row < plan.offsets[static_cast<size_t>(e) + 1];
         ++row) {
      const int64_t t = token.data_ptr<int64_t>()[row];
      GW_ENSURE(t >= 0 && t < plan.tokens, "plan: row {} names token {} of {}", row, t, plan.tokens);
      const bool first = row == plan.offsets[static_cast<size_t>(e)];
      GW_ENSURE(first || token.data_ptr<int64_t>()[row - 1] < t,
                "plan: rows of expert {} are not sorted by token", e);
    }
  }
}

namespace {

/// Whether all values are finite and every row has one above the mask.
bool each_sees_one(const at::Tensor& values) {
  const int64_t experts = values.size(1);
  const auto* row = values.data_ptr<float>();
  for (int64_t t = 0; t < values.size(0); ++t, row += experts) {
    int above = 0, odd = 0;
    for (int64_t e = 0; e < experts; ++e) {
      odd |= !(std::abs(row[e]) <= std::numeric_limits<float>::max());
      above |= row[e] > static_cast<float>(kMaskedScore / 2);
    }
    if (odd || !above) return false;
  }
  return true;
}

}  // namespace

void check_scores(const char* part, const at::Tensor& scores, int64_t experts) {
  GW_CHECK(scores.dim() == 2 && scores.size(1) == experts,
           "{}: expected scores [T, {}], got {} dimensions, last of size {}", part, experts, scores.dim(),
           scores.dim() == 0 ? 0 : scores.size(-1));
  if (scores.size(0) == 0) return;
  if (few_floats(scores) && each_sees_one(scores)) return;
  const auto values = scores.detach();
  // One pass for the common case: a sum over NaN or infinity is neither finite nor below the mask.
  if (values.amax(1).gt(kMaskedScore / 2).logical_and(values.sum(1).isfinite()).all().item<bool>()) return;
  const auto finite = at::isfinite(values).all(1);
  if (finite.all().item<bool>()) {
    const auto masked = values.amax(1).le(kMaskedScore / 2);
    if (!masked.any().item<bool>()) return;                // finite scores whose sum overflows
    if (values.min().item<double>() < 4 * kMaskedScore) {  // no mask is that low: the weights run away
      throw NumericError(fmt::format(
          "{}: expected scores within {:g}, got {:g}; look at the learning rate and the gate's input", part,
          -4 * kMaskedScore, values.min().item<double>()));
    }
    fail("{}: expected an expert that token {} may see, got all {} masked; give every task an expert", part,
         masked.nonzero()[0].item<int64_t>(), experts);
  }
  const int64_t row = finite.logical_not().nonzero()[0].item<int64_t>();
  throw NumericError(
      fmt::format("{}: expected finite scores, got NaN or infinity for token {}; look at the learning rate "
                  "and the gate's input",
                  part, row));
}

}  // namespace gw::inline routing
