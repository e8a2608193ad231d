#include "routing/plan.h"

#include <ATen/ATen.h>

#include "base/numeric_error.h"
#include "routing/policy.h"

namespace gw {
namespace {

// Counts, checks and remembers the flat slot of every row, sorted by expert; one stable counting sort.
std::vector<int64_t> sorted_slots(const at::Tensor& expert, int64_t experts, std::vector<int64_t>& offsets) {
  const int64_t tokens = expert.size(0), k = expert.size(1);
  const int64_t* ids = expert.data_ptr<int64_t>();
  offsets.assign(static_cast<size_t>(experts) + 1, 0);
  std::vector<int64_t> last_token(static_cast<size_t>(experts), -1);
  for (int64_t slot = 0; slot < tokens * k; ++slot) {
    const int64_t id = ids[slot];
    if (id == -1) continue;
    check(id >= 0 && id < experts, "plan: expected expert ids in [-1, {}), got {} for token {}", experts, id, slot / k);
    auto& last = last_token[static_cast<size_t>(id)];
    check(last != slot / k, "plan: expected distinct experts per token, got expert {} twice for token {}", id, slot / k);
    last = slot / k;
    ++offsets[static_cast<size_t>(id) + 1];
  }
  for (size_t e = 0; e < static_cast<size_t>(experts); ++e) offsets[e + 1] += offsets[e];
  std::vector<int64_t> next(offsets.begin(), offsets.end() - 1), slots(static_cast<size_t>(offsets.back()));
  for (int64_t slot = 0; slot < tokens * k; ++slot) {
    if (ids[slot] >= 0) slots[static_cast<size_t>(next[static_cast<size_t>(ids[slot])]++)] = slot;
  }
  return slots;
}

at::Tensor to_tensor(const std::vector<int64_t>& values) {
  return at::tensor(at::ArrayRef<int64_t>(values), at::kLong);
}

}  // namespace

RoutingPlan make_plan(const at::Tensor& expert, const at::Tensor& weight, int64_t experts) {
  check(experts >= 1, "plan: expected at least one expert, got {}", experts);
  check(expert.dim() == 2 && expert.scalar_type() == at::kLong, "plan: expected expert ids [T, K] of int64, got {} dimensions of {}",
        expert.dim(), c10::toString(expert.scalar_type()));
  check(weight.sizes() == expert.sizes(), "plan: expected one weight per expert id ([{}, {}]), got {} weights", expert.size(0), expert.size(1),
        weight.numel());
  RoutingPlan plan;
  plan.tokens = expert.size(0);
  const auto slots = to_tensor(sorted_slots(expert.contiguous(), experts, plan.offsets));
  plan.token = expert.size(1) == 1 ? slots : at::div(slots, expert.size(1), "floor");
  plan.weight = weight.reshape({-1}).index_select(0, slots);
  return plan;
}

RoutingPlan constant_plan(int64_t tokens, int64_t experts, int64_t expert) {
  check(expert >= 0 && expert < experts, "plan: expected an expert in [0, {}), got {}", experts, expert);
  RoutingPlan plan;
  plan.tokens = tokens;
  plan.offsets.assign(static_cast<size_t>(experts) + 1, 0);
  for (int64_t e = expert; e < experts; ++e) plan.offsets[static_cast<size_t>(e) + 1] = tokens;
  plan.token = at::arange(tokens, at::kLong);
  plan.weight = at::ones({tokens});
  return plan;
}

at::Tensor chosen_experts(const RoutingPlan& plan) {
  auto chosen = at::full({plan.tokens}, -1, at::kLong);
  int64_t* out = chosen.data_ptr<int64_t>();
  const auto token = plan.token.contiguous();
  for (int64_t e = plan.experts() - 1; e >= 0; --e) {  // downwards: the lowest expert of a token is written last
    for (int64_t row = plan.offsets[static_cast<size_t>(e)]; row < plan.offsets[static_cast<size_t>(e) + 1]; ++row) {
      out[token.data_ptr<int64_t>()[row]] = e;
    }
  }
  return chosen;
}

void validate_plan(const RoutingPlan& plan) {
  ensure(!plan.offsets.empty() && plan.offsets.front() == 0, "plan: offsets must start at 0");
  const auto token = plan.token.contiguous();
  ensure(token.numel() == plan.rows() && plan.weight.numel() == plan.rows(), "plan: {} rows, {} tokens, {} weights", plan.rows(),
         token.numel(), plan.weight.numel());
  for (int64_t e = 0; e < plan.experts(); ++e) {
    ensure(plan.rows_of(e) >= 0, "plan: offsets of expert {} decrease", e);
    for (int64_t row = plan.offsets[static_cast<size_t>(e)]; row < plan.offsets[static_cast<size_t>(e) + 1]; ++row) {
      const int64_t t = token.data_ptr<int64_t>()[row];
      ensure(t >= 0 && t < plan.tokens, "plan: row {} names token {} of {}", row, t, plan.tokens);
      const bool first = row == plan.offsets[static_cast<size_t>(e)];
      ensure(first || token.data_ptr<int64_t>()[row - 1] < t, "plan: rows of expert {} are not sorted by token", e);
    }
  }
}

void check_scores(const char* part, const at::Tensor& scores, int64_t experts) {
  check(scores.dim() == 2 && scores.size(1) == experts, "{}: expected scores [T, {}], got {} dimensions, last of size {}", part, experts,
        scores.dim(), scores.dim() == 0 ? 0 : scores.size(-1));
  const auto finite = at::isfinite(scores.detach()).all(1);
  if (finite.all().item<bool>()) return;
  const int64_t row = finite.logical_not().nonzero()[0].item<int64_t>();
  throw NumericError(fmt::format("{}: expected finite scores, got NaN or infinity for token {}; look at the learning rate and the gate's input", part, row));
}

}  // namespace gw
