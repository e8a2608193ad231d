#include "gatewright/language/blocks/attend.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "gatewright/base/check.h"

namespace gw::inline language {
namespace {

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

}  // namespace

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const AttendOptions& options) {
  const int64_t heads = q.size(0), n = q.size(1), shared = k.size(0), s = k.size(1);
  GW_CHECK(heads % shared == 0 && n <= s && v.size(0) == shared && v.size(1) == s && k.size(2) == q.size(2),
           "attention: expected q [H, n, d], k [G, S, d] and v [G, S, dv] with H a multiple of G and n <= S, "
           "got H {}, n {}, G {}, S {}",
           heads, n, shared, s);
  const int64_t group = heads / shared;
  const auto sink = options.sink.defined() ? options.sink.view({shared, group}) : at::Tensor();
  const auto sum = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  std::vector<at::Tensor> out;
  for (int64_t done = 0; done < n; done += kQueries) {
    const int64_t count = std::min(kQueries, n - done), at = s - n + done, last = at + count;
    const int64_t from = options.window > 0 ? std::max<int64_t>(0, at - options.window + 1) : 0;
    const auto rows = (q.narrow(1, done, count) * options.scale).reshape({shared, group * count, q.size(2)});
    auto score = at::bmm(rows, k.narrow(1, from, last - from).transpose(1, 2)).to(sum);
    score = score.view({shared, group, count, last - from});
    if (count > 1 || options.window > 0)
      score = score + mask_of(count, last - from, at, from, options.window, score.options());
    const auto p = chances(score, sink).to(v.scalar_type()).reshape({shared, group * count, last - from});
    out.push_back(at::bmm(p, v.narrow(1, from, last - from)).view({heads, count, v.size(2)}));
  }
  return out.size() == 1 ? out.front() : at::cat(out, 1);
}

}  // namespace gw::inline language
