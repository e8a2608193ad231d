#include "gatewright/language/blocks/attention.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/language/blocks/attend.h"

namespace gw::inline language {

Attention::Attention(const AttentionOptions& o, const Rng& rng, bool drawn)
    : torch::nn::Module("Attention"), options_(o), rotary_(o.head_width, o.rotary) {
  GW_CHECK(o.heads > 0 && o.key_heads > 0 && o.heads % o.key_heads == 0,
           "attention: expected heads to be a multiple of key_heads, got {} and {}", o.heads, o.key_heads);
  const auto project = [&](const char* name, int64_t in, int64_t out, bool bias) {
    return register_module(name, std::make_shared<Projection>(in, out, bias, rng.fork(name), drawn));
  };
  const int64_t q = o.heads * o.head_width, k = o.key_heads * o.head_width;
  query_ = project("query", o.width, q, o.query_bias);
  key_ = project("key", o.width, k, o.query_bias);
  value_ = project("value", o.width, k, o.query_bias);
  output_ = project("output", q, o.width, o.output_bias);
  if (o.query_norm != "none") {
    const bool whole = o.query_norm == "whole";
    const auto norm = [&](const char* name, int64_t width) {
      return register_module(name, std::make_shared<TokenNorm>(width, o.norm_epsilon));
    };
    query_norm_ = norm("query_norm", whole ? q : o.head_width);
    key_norm_ = norm("key_norm", whole ? k : o.head_width);
  }
  if (o.sinks) sinks_ = register_parameter("sinks", at::zeros({o.heads}));
  if (options_.scale == 0)
    options_.scale = rotary_.score_scale() / std::sqrt(static_cast<double>(o.head_width));
}

void Attention::hold(int64_t bits, int64_t group) {
  for (const auto& p : {query_, key_, value_, output_}) p->hold(bits, group);
}

at::Tensor Attention::normed(const at::Tensor& given, const TokenNorm* norm, int64_t heads) const {
  auto x = given;
  if (norm != nullptr && options_.query_norm == "whole") x = norm->forward(x);
  if (options_.clip > 0) x = x.clamp(-options_.clip, options_.clip);
  x = x.view({x.size(0), heads, -1});
  return norm != nullptr && options_.query_norm == "head" ? norm->forward(x) : x;
}

at::Tensor Attention::forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer) const {
  auto q = normed(query_->forward(x), query_norm_.get(), options_.heads);
  auto k = normed(key_->forward(x), key_norm_.get(), options_.key_heads);
  const auto v = normed(value_->forward(x), nullptr, options_.key_heads);
  if (options_.rotated) q = rotary_.rotate(q, rows.angles), k = rotary_.rotate(k, rows.angles);
  return output_->forward(alike(rows) ? together(q, k, v, rows) : apart(q, k, v, rows, layer));
}

bool Attention::alike(const SequenceRows& rows) {
  const auto& n = rows.lengths;
  return rows.states.empty() &&
         std::all_of(n.begin(), n.end(), [&](int64_t one) { return one == n.front(); });
}

at::Tensor Attention::together(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const SequenceRows& rows) const {
  const auto count = static_cast<int64_t>(rows.lengths.size()), n = rows.lengths.front();
  const auto heads = [&](const at::Tensor& t) {  // [B·n, H, d] → [B·H, n, d]
    return t.view({count, n, t.size(1), t.size(2)})
        .transpose(1, 2)
        .reshape({count * t.size(1), n, t.size(2)});
  };
  const auto sink = sinks_.defined() ? sinks_.repeat({count}) : at::Tensor();
  const auto y = attend(heads(q), heads(k), heads(v), {options_.scale, options_.window, sink});
  return y.view({count, options_.heads, n, -1}).transpose(1, 2).reshape({count * n, -1});
}

at::Tensor Attention::apart(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const SequenceRows& rows, int64_t layer) const {
  const AttendOptions how{options_.scale, options_.window, sinks_};
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
