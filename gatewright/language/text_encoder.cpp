#include "gatewright/language/text_encoder.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/models/copies.h"
#include "gatewright/ops/random.h"

namespace gw::inline language {
namespace {

DecoderOptions reading(DecoderOptions options) {
  options.both_ways = true;
  return options;
}

}  // namespace

TextEncoder::TextEncoder(const DecoderOptions& given, int64_t kinds)
    : LayerStack("TextEncoder", reading(given), Empty{}) {
  const auto& o = options();
  const auto drawn = [&](const char* name, int64_t rows) {
    const auto shape = {rows, o.width};
    return register_parameter(name, o.drawn
                                        ? ops::normal(stream(o).fork(name), shape, 0, o.embedding_deviation)
                                        : at::empty(shape));
  };
  embedding_ = drawn("embedding", o.vocabulary);
  if (kinds > 0) kind_ = drawn("kind", kinds);
  fill();
  if (!o.adapters.empty()) adapt();
}

TextEncoder::Answer TextEncoder::forward(const TextTokens& tokens, const Pass& pass,
                                         const RouterInputs& known) const {
  const auto rows = rows_of(tokens);
  Answer answer;
  auto inputs = known;
  inputs.token_id = tokens.id;
  auto x = at::embedding(embedding_, tokens.id);
  if (options().embedding_scale != 1) x = x * options().embedding_scale;
  if (kind_.defined()) x = x + kind_.select(0, 0);
  x = through(x, rows, inputs, pass, answer.plans);
  const auto texts = static_cast<int64_t>(tokens.lengths.size());
  const auto length = at::tensor(tokens.lengths, at::kLong).to(x.scalar_type()).unsqueeze(1);
  answer.vector = at::zeros({texts, x.size(1)}, x.options()).index_add(0, inputs.sequence, x) / length;
  return answer;
}

std::string dense_name(const std::string& name) {
  constexpr const char* kBank = ".mixture.bank.";
  const auto bank = name.find(kBank);
  if (bank == std::string::npos) return name;
  return name.substr(0, bank) + ".dense." + name.substr(bank + std::string(kBank).size());
}

void take_copies(TextEncoder& to, const TextEncoder& from) {
  const at::NoGradGuard no_grad;
  const auto theirs = from.named_parameters();
  for (auto& item : to.named_parameters()) {
    const auto& name = item.key();
    if (name.find(".mixture.gate.") != std::string::npos) continue;
    const auto* one = theirs.find(name);
    if (one == nullptr) one = theirs.find(dense_name(name));
    GW_CHECK(one != nullptr, "text encoder: expected \"{}\" in the model to copy, got none", name);
    const auto value = copies_of(*one, item.value().sizes());
    GW_CHECK(value.sizes() == item.value().sizes(),
             "text encoder: expected \"{}\" of the shape {} in the model to copy, got {}", name,
             c10::str(item.value().sizes()), c10::str(one->sizes()));
    item.value().copy_(value);
  }
}

}  // namespace gw::inline language
