#include "gatewright/routing/select.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include <algorithm>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/top_k.h"
#include "gatewright/routing/inputs.h"

namespace gw::inline routing {
namespace {

// For large K: sort the row's indices.
template <class T>
void sort_row(const T* row, int64_t experts, int64_t k, int64_t* out, std::vector<int64_t>& index) {
  index.resize(static_cast<size_t>(experts));
  std::iota(index.begin(), index.end(), 0);
  std::partial_sort(index.begin(), index.begin() + k, index.end(),
                    [row](int64_t a, int64_t b) { return row[a] > row[b] || (row[a] == row[b] && a < b); });
  for (int64_t i = 0; i < k; ++i) {
    const int64_t e = index[static_cast<size_t>(i)];
    out[i] = row[e] <= static_cast<T>(kMaskedScore / 2) ? -1 : e;
  }
}

}  // namespace

void clear_masked(const at::Tensor& scores, at::Tensor& expert) {
  const auto dense = scores.is_contiguous() ? scores : scores.detach().contiguous();
  const int64_t experts = dense.size(1), k = expert.size(1);
  int64_t* out = expert.data_ptr<int64_t>();
  AT_DISPATCH_FLOATING_TYPES(dense.scalar_type(), "clear_masked", [&] {
    const scalar_t* row = dense.data_ptr<scalar_t>();
    for (int64_t t = 0; t < dense.size(0); ++t, row += experts, out += k) {
      for (int64_t i = 0; i < k; ++i)
        if (row[out[i]] <= static_cast<scalar_t>(kMaskedScore / 2)) out[i] = -1;
    }
  });
}

at::Tensor top_k(const at::Tensor& scores, int64_t k) {
  GW_CHECK(scores.dim() == 2 && k >= 0 && k <= scores.size(1),
           "top_k: expected scores [T, E] with E >= {}, got {} dimensions", k, scores.dim());
  const auto dense = scores.detach().contiguous();
  const int64_t tokens = dense.size(0), experts = dense.size(1);
  auto ids = at::empty({tokens, k}, at::kLong);
  if (k == 0 || tokens == 0) return ids;
  constexpr int64_t kKernel = 16;  // the kernel inserts into a list of K, which is for short lists
  if (k <= kKernel) {
    ids = ops::top_k(dense, k, "identity").expert;
    clear_masked(dense, ids);
    return ids;
  }
  int64_t* out = ids.data_ptr<int64_t>();
  AT_DISPATCH_FLOATING_TYPES(dense.scalar_type(), "top_k", [&] {
    const scalar_t* row = dense.data_ptr<scalar_t>();
    std::vector<int64_t> index;
    for (int64_t t = 0; t < tokens; ++t, row += experts, out += k) sort_row(row, experts, k, out, index);
  });
  return ids;
}

at::Tensor by_priority(const at::Tensor& value) {
  return std::get<1>(value.detach().sort(/*stable=*/true, 0, /*descending=*/true));
}

namespace {

// The best expert with room that is not among the token's choices, or −1.
int64_t next_choice(const int64_t* ranked, int64_t experts, const int64_t* chosen, const int64_t* given,
                    int64_t k, const std::vector<int64_t>& rows, int64_t capacity) {
  for (int64_t i = 0; i < experts && ranked[i] >= 0; ++i) {
    const int64_t e = ranked[i];
    if (rows[static_cast<size_t>(e)] >= capacity) continue;
    if (std::find(chosen, chosen + k, e) == chosen + k && std::find(given, given + k, e) == given + k)
      return e;
  }
  return -1;
}

}  // namespace

at::Tensor limit_rows(const at::Tensor& expert, int64_t experts, int64_t capacity, const at::Tensor& order,
                      const at::Tensor& ranking) {
  const auto wanted = expert.contiguous();
  const int64_t tokens = wanted.size(0), k = wanted.size(1);
  auto given = at::full_like(wanted, -1);
  const auto visit = order.defined() ? order.contiguous() : at::arange(tokens, at::kLong);
  const auto ranked = ranking.defined() ? top_k(ranking, experts) : at::Tensor();
  std::vector<int64_t> rows(static_cast<size_t>(experts), 0);
  const int64_t *want = wanted.data_ptr<int64_t>(), *next = visit.data_ptr<int64_t>();
  int64_t* out = given.data_ptr<int64_t>();
  for (int64_t j = 0; j < k; ++j) {
    for (int64_t i = 0; i < tokens; ++i) {
      const int64_t t = next[i];
      int64_t e = want[t * k + j];
      if (e < 0) continue;
      if (rows[static_cast<size_t>(e)] >= capacity) {
        e = ranked.defined() ? next_choice(ranked.data_ptr<int64_t>() + t * experts, experts, want + t * k,
                                           out + t * k, k, rows, capacity)
                             : -1;
      }
      if (e < 0) continue;
      ++rows[static_cast<size_t>(e)];
      out[t * k + j] = e;
    }
  }
  return given;
}

at::Tensor keep_groups(const char* part, const at::Tensor& scores, int64_t groups, int64_t keep,
                       int64_t best_of, double fill) {
  const int64_t tokens = scores.size(0), experts = scores.size(1);
  GW_CHECK(groups >= 1 && experts % groups == 0,
           "{}: expected a number of groups that divides {} experts, got {}", part, experts, groups);
  GW_CHECK(keep >= 1 && keep <= groups, "{}: expected to keep 1 … {} groups, got {}", part, groups, keep);
  GW_CHECK(best_of <= experts / groups, "{}: expected at least {} experts per group, got {}", part, best_of,
           experts / groups);
  if (keep == groups) return scores;
  const auto grouped = scores.detach().reshape({tokens, groups, experts / groups});
  const auto score = std::get<0>(grouped.topk(best_of, 2)).sum(2);
  // A group whose experts are all masked must lose, but is not itself a masked expert: hence the floor.
  const auto kept = top_k(score.clamp_min(kMaskedScore / 4), keep);
  const auto open = at::zeros({tokens, groups}, at::kBool).scatter(1, kept, true);
  return scores.masked_fill(open.logical_not().unsqueeze(2).expand_as(grouped).reshape({tokens, experts}),
                            fill);
}

at::Tensor apply_score(const std::string& kind, const at::Tensor& scores) {
  if (kind == "softmax") return at::softmax(scores, 1);
  if (kind == "sigmoid") return at::sigmoid(scores);
  if (kind == "exp") return at::exp(scores);
  if (kind == "relu") return at::relu(scores);
  GW_CHECK(kind == "identity", "apply_score: expected softmax, sigmoid, exp, relu or identity, got \"{}\"",
           kind);
  return scores;
}

at::Tensor union_weights(const at::Tensor& probability) {
  const auto scaled = probability * static_cast<double>(probability.size(1));
  return at::ones_like(probability) + (scaled - scaled.detach());
}

at::Tensor normalised_rows(const at::Tensor& weight) {
  const auto sum = weight.sum(1, true);
  return weight / at::where(sum.eq(0), at::ones_like(sum), sum);
}

at::Tensor chosen_softmax(const at::Tensor& logits, const at::Tensor& kept, const at::Tensor& over) {
  const auto none = over.lt(0), empty = kept.lt(0);
  const auto chosen = logits.gather(1, over.clamp_min(0));
  if (over.size(1) == 0) return at::zeros(kept.sizes(), logits.options());
  const auto largest = chosen.detach().masked_fill(none, kMaskedScore).amax(1, true);
  const auto sum = (chosen - largest).masked_fill(none, kMaskedScore).exp().masked_fill(none, 0).sum(1, true);
  const auto weight = (logits.gather(1, kept.clamp_min(0)) - largest)
                          .masked_fill(empty, kMaskedScore)
                          .exp()
                          .masked_fill(empty, 0);
  return weight / at::where(sum.eq(0), at::ones_like(sum), sum);
}

at::Tensor sigmoid_shares(const at::Tensor& scores) { return at::softmax(at::log_sigmoid(scores), 1); }

at::Tensor gumbel(const Rng& rng, at::IntArrayRef shape, at::ScalarType type) {
  const auto u = ops::uniform(rng, shape, 0, 1).to(type).clamp(1e-7, 1 - 1e-7);
  return u.log().neg().log().neg();
}

}  // namespace gw::inline routing
