#include "gatewright/language/pair_batch.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/language/token_batch.h"

namespace gw::inline language {

PackedTexts packed_texts(const char* part, const char* field, const at::Tensor& token) {
  GW_CHECK(token.dim() == 2 && token.scalar_type() == at::kLong && token.numel() > 0,
           "{}: expected \"{}\" [B, T] int64, got {} dimensions and {} numbers", part, field, token.dim(),
           token.numel());
  const auto there = token.ne(kNoToken), count = there.sum(1);
  const auto first = at::arange(token.size(1), at::kLong).unsqueeze(0).lt(count.unsqueeze(1));
  GW_CHECK(count.min().item<int64_t>() > 0 && at::equal(there, first),
           "{}: expected texts in \"{}\" with at least one token and {} behind their ends alone, got others",
           part, field, kNoToken);
  PackedTexts out;
  out.place = there.flatten().nonzero().flatten();
  out.id = token.flatten().index_select(0, out.place);
  const auto* lengths = count.data_ptr<int64_t>();
  out.lengths.assign(lengths, lengths + count.size(0));
  return out;
}

Output answer_pairs(const char* part, EncoderDecoder& network, const Batch& batch, const Pass& pass) {
  const auto& token = batch.at("token");
  const auto source = packed_texts(part, "source_token", batch.at("source_token")),
             text = packed_texts(part, "token", token);
  GW_CHECK(source.lengths.size() == text.lengths.size(), "{}: expected a source for each of {} texts, got {}",
           part, text.lengths.size(), source.lengths.size());
  auto own = pass;
  own.rng = pass.rng.fork(part);
  auto read = network.encode(source.id, source.lengths, own);
  auto answer = network.forward({text.id, text.lengths}, read, own);
  const int64_t b = token.size(0), t = token.size(1), v = answer.logits.size(1);
  Output out;
  out.answer = at::zeros({b * t, v}, answer.logits.options()).index_copy(0, text.place, answer.logits);
  out.answer = out.answer.view({b, t, v});
  out.plans = std::move(read.plans);
  for (auto& plan : answer.plans) out.plans.push_back(std::move(plan));
  return out;
}

Batch pair_example(const DataSpec& data, int64_t count, const Rng& rng) {
  const auto drawn = [&](const char* name, int64_t length) {
    return drawn_tokens(rng.fork(name), {count, length}, data.vocabulary);
  };
  Batch batch;
  batch.fields["source_token"] = drawn("source_token", data.source_context);
  batch.fields["token"] = drawn("token", data.context);
  batch.index = at::arange(count, at::kLong);
  return batch;
}

}  // namespace gw::inline language
