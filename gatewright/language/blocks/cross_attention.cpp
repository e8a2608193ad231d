#include "gatewright/language/blocks/cross_attention.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"

namespace gw::inline language {

CrossAttention::CrossAttention(const CrossOptions& o, const Rng& rng, bool drawn)
    : torch::nn::Module("CrossAttention"), options_(o) {
  GW_CHECK(o.heads > 0 && o.key_heads > 0 && o.heads % o.key_heads == 0,
           "attention: expected heads to be a multiple of key_heads, got {} and {}", o.heads, o.key_heads);
  const auto project = [&](const char* name, int64_t in, int64_t out, bool bias) {
    return register_module(name, std::make_shared<Projection>(in, out, bias, rng.fork(name), drawn));
  };
  const int64_t q = o.heads * o.head_width, k = o.key_heads * o.head_width;
  query_ = project("query", o.width, q, o.query_bias);
  key_ = project("key", o.width, k, o.query_bias), value_ = project("value", o.width, k, o.query_bias);
  output_ = project("output", q, o.width, o.output_bias);
  if (options_.scale == 0) options_.scale = 1 / std::sqrt(static_cast<double>(o.head_width));
}

KeyValueRows CrossAttention::keys(const at::Tensor& source) const {
  const std::vector<int64_t> shape{source.size(0), options_.key_heads, options_.head_width};
  return {key_->forward(source).view(shape), value_->forward(source).view(shape)};
}

at::Tensor CrossAttention::forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer) const {
  const auto* source = rows.source;
  GW_CHECK(source != nullptr && source->lengths.size() == rows.lengths.size(),
           "cross attention: expected a source for each of {} texts, got {}", rows.lengths.size(),
           source == nullptr ? 0 : source->lengths.size());
  const auto q = query_->forward(x).view({x.size(0), options_.heads, options_.head_width});
  return output_->forward(attend_sources(q, rows.lengths, source->layers.at(static_cast<size_t>(layer)),
                                         source->lengths, {options_.scale, 0, {}, /*causal=*/false}));
}

void CrossAttention::hold(int64_t bits, int64_t group) {
  for (const auto& p : {query_, key_, value_, output_}) p->hold(bits, group);
}

}  // namespace gw::inline language
