#include "gatewright/language/token_batch.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/ops/random.h"

namespace gw::inline language {
namespace {

/// Lengths of the texts that lie one after the other in the windows.
std::vector<int64_t> lengths_of(const Batch& batch) {
  const auto& token = batch.at("token");
  const int64_t b = token.size(0), t = token.size(1);
  if (!batch.has("document")) return std::vector<int64_t>(static_cast<size_t>(b), t);
  const auto document = batch.at("document").contiguous();
  GW_CHECK(document.sizes() == token.sizes() && document.scalar_type() == at::kLong,
           "decoder: expected documents [{}, {}] int64 beside the tokens, got {} numbers", b, t,
           document.numel());
  const int64_t* number = document.data_ptr<int64_t>();
  std::vector<int64_t> lengths;
  for (int64_t row = 0; row < b; ++row, number += t) {
    int64_t first = 0;
    for (int64_t i = 1; i <= t; ++i) {
      if (i < t && number[i] == number[i - 1]) continue;
      lengths.push_back(i - first);
      first = i;
    }
  }
  return lengths;
}

}  // namespace

Output answer_tokens(const char* part, Decoder& decoder, const Batch& batch, const Pass& pass) {
  const auto& token = batch.at("token");
  GW_CHECK(token.dim() == 2 && token.scalar_type() == at::kLong,
           "{}: expected tokens [B, T] int64, got {} dimensions", part, token.dim());
  auto own = pass;
  own.rng = pass.rng.fork(part);
  auto out = decoder.forward({token.reshape({-1}), lengths_of(batch)}, own);
  return {out.logits.view({token.size(0), token.size(1), -1}), std::move(out.plans)};
}

at::Tensor drawn_tokens(const Rng& rng, at::IntArrayRef shape, int64_t vocabulary) {
  return ops::uniform(rng, shape, 0, static_cast<double>(vocabulary)).to(at::kLong).clamp_max(vocabulary - 1);
}

Batch token_example(const DataSpec& data, int64_t count, const Rng& rng) {
  Batch batch;
  batch.fields["token"] = drawn_tokens(rng.fork("token"), {count, data.context}, data.vocabulary);
  batch.index = at::arange(count, at::kLong);
  return batch;
}

}  // namespace gw::inline language
