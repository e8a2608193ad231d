#include "gatewright/language/blocks/attention.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"

namespace gw::inline language {

Attention::Attention(const AttentionOptions& o, const Rng& rng, bool drawn)
    : AttentionBlock("Attention"), options_(o), rotary_(o.rotated ? o.head_width : 2, o.rotary) {
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

void Attention::adapt(const Json& adapters, const Rng& rng, const std::string& site) {
  for (const auto& [name, p] :
       {std::pair{"query", query_}, {"key", key_}, {"value", value_}, {"output", output_}})
    p->adapt(adapters, rng.fork(name), site + "." + name);
}

void Attention::end_step() {
  for (const auto& p : {query_, key_, value_, output_}) p->end_step();
}

at::Tensor Attention::forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer, Decisions& d) {
  auto q = normed(query_->forward(x, d), query_norm_.get(), options_.heads);
  auto k = normed(key_->forward(x, d), key_norm_.get(), options_.key_heads);
  const auto v = normed(value_->forward(x, d), nullptr, options_.key_heads);
  if (options_.rotated) q = rotary_.rotate(q, rows.angles), k = rotary_.rotate(k, rows.angles);
  const AttendOptions how{options_.scale, options_.window, sinks_, options_.causal, rows.relative};
  return output_->forward(attend_rows(q, k, v, rows, layer, how), d);
}

}  // namespace gw::inline language
