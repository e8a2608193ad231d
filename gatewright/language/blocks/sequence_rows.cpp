#include "gatewright/language/blocks/sequence_rows.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"

namespace gw::inline language {
namespace {

bool alike(const std::vector<int64_t>& n) {
  return std::all_of(n.begin(), n.end(), [&](int64_t one) { return one == n.front(); });
}

/// Texts of one length over keys of one length.
at::Tensor together(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t count,
                    AttendOptions how) {
  const auto heads = [&](const at::Tensor& t) {  // [B·n, H, d] → [B·H, n, d]
    const int64_t n = t.size(0) / count;
    return t.reshape({count, n, t.size(1), t.size(2)})
        .transpose(1, 2)
        .reshape({count * t.size(1), n, t.size(2)});
  };
  if (how.sink.defined()) how.sink = how.sink.repeat({count});
  const auto y = attend(heads(q), heads(k), heads(v), how);
  return y.view({count, q.size(1), q.size(0) / count, -1}).transpose(1, 2).reshape({q.size(0), -1});
}

}  // namespace

void AttentionBlock::adapt(const Json&, const Rng&, const std::string& site) {
  fail("{}: expected plain attention for adapters, got attention_experts or latent", site);
}

at::Tensor attend_rows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       const SequenceRows& rows, int64_t layer, const AttendOptions& how) {
  if (rows.states.empty() && alike(rows.lengths))
    return together(q, k, v, static_cast<int64_t>(rows.lengths.size()), how);
  std::vector<at::Tensor> out;
  int64_t first = 0;
  for (size_t s = 0; s < rows.lengths.size(); ++s) {
    const int64_t n = rows.lengths[s];
    const auto own = [&](const at::Tensor& t) { return n == t.size(0) ? t : t.narrow(0, first, n); };
    at::Tensor keys, values;
    if (rows.states.empty()) {
      keys = own(k).transpose(0, 1), values = own(v).transpose(0, 1);
    } else {
      auto& kept = rows.states[s]->layers[static_cast<size_t>(layer)];
      kept.append(own(k), own(v));
      keys = kept.key(), values = kept.value();
    }
    out.push_back(attend(own(q).transpose(0, 1), keys, values, how).transpose(0, 1).reshape({n, -1}));
    first += n;
  }
  return out.size() == 1 ? out.front() : at::cat(out, 0);
}

at::Tensor attend_sources(const at::Tensor& q, const std::vector<int64_t>& lengths, const KeyValueRows& rows,
                          const std::vector<int64_t>& source_lengths, const AttendOptions& how) {
  const auto texts = static_cast<int64_t>(lengths.size());
  if (alike(lengths) && alike(source_lengths)) return together(q, rows.key, rows.value, texts, how);
  std::vector<at::Tensor> out;
  int64_t first = 0, first_key = 0;
  for (size_t s = 0; s < lengths.size(); ++s) {
    const int64_t n = lengths[s], keys = source_lengths[s];
    const auto key = rows.key.narrow(0, first_key, keys), value = rows.value.narrow(0, first_key, keys);
    out.push_back(together(q.narrow(0, first, n), key, value, 1, how));
    first += n, first_key += keys;
  }
  return at::cat(out, 0);
}

}  // namespace gw::inline language
