#include "gatewright/language/blocks/latent_attention.h"

#include <ATen/ATen.h>

#include <cmath>

namespace gw::inline language {
namespace {

constexpr double kLatentEpsilon = 1e-6;  // of the narrow vectors' norms, whatever the layers' is

}  // namespace

LatentAttention::LatentAttention(const LatentOptions& o, const Rng& rng, bool drawn)
    : AttentionBlock("LatentAttention"),
      options_(o),
      rotary_(o.turned, o.rotary),
      scale_(rotary_.score_scale() / std::sqrt(static_cast<double>(o.still + o.turned))) {
  const auto project = [&](const char* name, int64_t in, int64_t out, bool bias) {
    return register_module(name, std::make_shared<Projection>(in, out, bias, rng.fork(name), drawn));
  };
  const auto norm = [&](const char* name, int64_t width) {
    return register_module(name, std::make_shared<TokenNorm>(width, kLatentEpsilon));
  };
  if (o.query_latent > 0) {
    query_down_ = project("query_down", o.width, o.query_latent, o.bias);
    query_norm_ = norm("query_norm", o.query_latent);
  }
  query_ =
      project("query", o.query_latent > 0 ? o.query_latent : o.width, o.heads * (o.still + o.turned), false);
  key_down_ = project("key_down", o.width, o.latent + o.turned, o.bias);
  key_norm_ = norm("key_norm", o.latent);
  key_up_ = project("key_up", o.latent, o.heads * (o.still + o.value), false);
  output_ = project("output", o.heads * o.value, o.width, o.bias);
}

void LatentAttention::hold(int64_t bits, int64_t group) {
  for (const auto& p : {query_, query_down_, key_down_, key_up_, output_})
    if (p != nullptr) p->hold(bits, group);
}

at::Tensor LatentAttention::queries(const at::Tensor& x, const Rotary::Angles& angles) const {
  const auto& o = options_;
  const auto from = query_down_ == nullptr ? x : query_norm_->forward(query_down_->forward(x));
  const auto q = query_->forward(from).view({x.size(0), o.heads, o.still + o.turned});
  return at::cat({q.narrow(2, 0, o.still), rotary_.rotate(q.narrow(2, o.still, o.turned), angles)}, 2);
}

at::Tensor LatentAttention::forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer,
                                    Decisions&) {
  const auto& o = options_;
  const int64_t n = x.size(0);
  const auto down = key_down_->forward(x);
  const auto up =
      key_up_->forward(key_norm_->forward(down.narrow(1, 0, o.latent))).view({n, o.heads, o.still + o.value});
  const auto turned = rotary_.rotate(down.narrow(1, o.latent, o.turned).unsqueeze(1), rows.angles);
  const auto k = at::cat({up.narrow(2, 0, o.still), turned.expand({n, o.heads, o.turned})}, 2);
  const auto v = up.narrow(2, o.still, o.value);
  return output_->forward(attend_rows(queries(x, rows.angles), k, v, rows, layer, {scale_, 0, {}}));
}

}  // namespace gw::inline language
