#include "gatewright/ops/top_k.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/kernels/plan/plan.h"
#include "gatewright/kernels/top_k/family.h"
#include "gatewright/ops/thread_pool.h"

namespace gw::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const std::vector<std::string> kScores{"identity", "softmax", "sigmoid"};  // in the order of kernels::Score
constexpr int64_t kValuesPerTask = 16384;                                  // 64 kB of scores: some 10 µs

// "[2, 3] of Float on cpu": what an error says of a tensor that does not fit.
std::string told(const at::Tensor& t) {
  if (!t.defined()) return "nothing";
  return fmt::format("[{}] of {} on {}", fmt::join(t.sizes(), ", "), c10::toString(t.scalar_type()),
                     t.device().str());
}

template <class T>
int64_t run(const kernels::TopKTable<T>& table, const at::Tensor& scores, int64_t k, kernels::Score f,
            bool renormalise, at::Tensor& expert, at::Tensor& weight) {
  const auto* s = scores.data_ptr<T>();
  auto* e = expert.data_ptr<int64_t>();
  auto* w = weight.data_ptr<T>();
  const int64_t experts = scores.size(1);
  std::atomic<int64_t> bad{-1};
  at::parallel_for(0, scores.size(0), std::max<int64_t>(1, kValuesPerTask / experts),
                   [&](int64_t begin, int64_t end) {
                     const auto row = table.run(s + begin * experts, end - begin, experts, k, f, renormalise,
                                                e + begin * k, w + begin * k);
                     if (row >= 0) bad = begin + row;
                   });
  return bad;
}

TopK chosen(const at::Tensor& scores, int64_t k, kernels::Score f, bool renormalise) {
  TopK out{at::empty({scores.size(0), k}, scores.options().dtype(at::kLong).requires_grad(false)),
           at::empty({scores.size(0), k}, scores.options().requires_grad(false))};
  const auto bad = scores.scalar_type() == at::kFloat
                       ? run(kernels::top_k_family()(), scores, k, f, renormalise, out.expert, out.weight)
                       : run(kernels::top_k_ref_f64, scores, k, f, renormalise, out.expert, out.weight);
  GW_CHECK(bad < 0, "top_k: expected numbers as scores, got NaN for token {}", bad);
  return out;
}

void check_ids(const at::Tensor& expert) {
  const bool fits =
      expert.defined() && expert.dim() == 2 && expert.scalar_type() == at::kLong && expert.device().is_cpu();
  if (!fits) fail("plan: expected expert ids [T, K] of int64 on the CPU, got {}", told(expert));
}

class Choose : public torch::autograd::Function<Choose> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& given, int64_t k, int64_t f,
                               bool renormalise) {
    const auto scores = given.contiguous();
    const auto out = chosen(scores, k, static_cast<kernels::Score>(f), renormalise);
    ctx->save_for_backward({scores, out.expert, out.weight});
    ctx->saved_data["score"] = f, ctx->saved_data["renormalise"] = renormalise;
    ctx->mark_non_differentiable({out.expert});
    return {out.expert, out.weight};
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    const auto saved = ctx->get_saved_variables();
    return {top_k_backward(gradient[1], saved[0], saved[1], saved[2],
                           kScores[static_cast<size_t>(ctx->saved_data["score"].toInt())],
                           ctx->saved_data["renormalise"].toBool()),
            {},
            {},
            {}};
  }
};

}  // namespace

TopK top_k(const at::Tensor& scores, int64_t k, const std::string& score, bool renormalise) {
  const bool matrix = scores.defined() && scores.dim() == 2 && scores.device().is_cpu();
  if (!matrix || (scores.scalar_type() != at::kFloat && scores.scalar_type() != at::kDouble))
    fail("top_k: expected scores [T, E] in f32 or f64 on the CPU, got {}", told(scores));
  GW_CHECK(k >= 1 && k <= scores.size(1), "top_k: expected k from 1 to {} experts, got {}", scores.size(1),
           k);
  const auto it = std::find(kScores.begin(), kScores.end(), score);
  if (it == kScores.end()) fail("top_k: unknown score function \"{}\"{}", score, near_miss(score, kScores));
  const auto f = it - kScores.begin();
  // A node of the graph costs some µs, as much as the rest for one token.
  if (!at::GradMode::is_enabled() || !scores.requires_grad())
    return chosen(scores.contiguous(), k, static_cast<kernels::Score>(f), renormalise);
  const auto out = Choose::apply(scores, k, static_cast<int64_t>(f), renormalise);
  return {out[0], out[1]};
}

// With renormalise, w_j = v_j / Σ v: dv_j = (g_j - Σ g·w) / Σ v; softmax of the chosen alone has ds = w·(g -
// Σ g·w).
at::Tensor top_k_backward(const at::Tensor& gradient, const at::Tensor& scores, const at::Tensor& expert,
                          const at::Tensor& weight, const std::string& score, bool renormalise) {
  auto g = renormalise ? gradient - (gradient * weight).sum(1, true) : gradient;
  const bool softmax = score == "softmax", sigmoid = score == "sigmoid";
  if (softmax && !renormalise) {
    const auto all =
        at::softmax(scores, 1).masked_fill(scores.amax(1, true).eq(-HUGE_VAL), 0);  // 0/0 where all is -inf
    return at::zeros_like(scores).scatter_add(1, expert, g * weight) - all * (g * weight).sum(1, true);
  }
  if (softmax) {
    g = g * weight;
  } else {
    const auto chosen = scores.gather(1, expert), value = sigmoid ? at::sigmoid(chosen) : chosen;
    const auto sum = value.sum(1, true);
    if (renormalise) g = g / sum.masked_fill(sum.eq(0), 1);
    if (sigmoid) g = g * value * (1 - value);
  }
  return at::zeros_like(scores).scatter_add(1, expert, g);
}

int64_t sort_slots(const at::Tensor& expert, int64_t experts, std::vector<int64_t>& offsets, int64_t* slots) {
  check_ids(expert);
  const auto ids = expert.contiguous();
  const int64_t tokens = ids.size(0), k = ids.size(1);
  offsets.assign(static_cast<size_t>(experts) + 1, 0);
  TorchPool pool;
  const auto* id = ids.data_ptr<int64_t>();
  const auto fault = kernels::sort_slots(id, tokens, k, experts, offsets.data(), slots, pool);
  if (fault.slot >= 0) {
    GW_CHECK(!fault.twice, "plan: expected distinct experts per token, got expert {} twice for token {}",
             id[fault.slot], fault.slot / k);
    fail("plan: expected expert ids in [-1, {}), got {} for token {}", experts, id[fault.slot],
         fault.slot / k);
  }
  return offsets.back();
}

at::Tensor sort_slots(const at::Tensor& expert, int64_t experts, std::vector<int64_t>& offsets) {
  check_ids(expert);
  auto slots = at::empty({expert.numel()}, expert.options());
  const int64_t filled = sort_slots(expert, experts, offsets, slots.data_ptr<int64_t>());
  return filled == slots.size(0) ? slots : slots.narrow(0, 0, filled);
}

}  // namespace gw::ops
