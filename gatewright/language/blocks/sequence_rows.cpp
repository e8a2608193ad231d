#include "gatewright/language/blocks/sequence_rows.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace gw::inline language {
namespace {

/// Whether all texts begin here and are of one length.
bool alike(const SequenceRows& rows) {
  const auto& n = rows.lengths;
  return rows.states.empty() &&
         std::all_of(n.begin(), n.end(), [&](int64_t one) { return one == n.front(); });
}

at::Tensor together(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const SequenceRows& rows,
                    AttendOptions how) {
  const auto count = static_cast<int64_t>(rows.lengths.size()), n = rows.lengths.front();
  const auto heads = [&](const at::Tensor& t) {  // [B·n, H, d] → [B·H, n, d]
    return t.reshape({count, n, t.size(1), t.size(2)})
        .transpose(1, 2)
        .reshape({count * t.size(1), n, t.size(2)});
  };
  if (how.sink.defined()) how.sink = how.sink.repeat({count});
  const auto y = attend(heads(q), heads(k), heads(v), how);
  return y.view({count, q.size(1), n, -1}).transpose(1, 2).reshape({count * n, -1});
}

}  // namespace

at::Tensor attend_rows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       const SequenceRows& rows, int64_t layer, const AttendOptions& how) {
  if (alike(rows)) return together(q, k, v, rows, how);
  std::vector<at::Tensor> out;
  int64_t first = 0;
  for (size_t s = 0; s < rows.lengths.size(); ++s) {
    const int64_t n = rows.lengths[s];
    const auto own = [&](const at::Tensor& t) { return t.narrow(0, first, n); };
    at::Tensor keys = own(k).transpose(0, 1), values = own(v).transpose(0, 1);
    if (!rows.states.empty()) {
      auto& kept = rows.states[s]->layers[static_cast<size_t>(layer)];
      kept.append(own(k), own(v));
      keys = kept.key(), values = kept.value();
    }
    out.push_back(attend(own(q).transpose(0, 1), keys, values, how).transpose(0, 1).reshape({n, -1}));
    first += n;
  }
  return out.size() == 1 ? out.front() : at::cat(out, 0);
}

}  // namespace gw::inline language
