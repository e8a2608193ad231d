#include "gatewright/language/decoder.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/random.h"

namespace gw::inline language {
namespace {

AttentionOptions attention_of(const DecoderOptions& o, int64_t layer) {
  AttentionOptions a;
  a.width = o.width, a.heads = o.heads, a.key_heads = o.key_heads, a.head_width = o.head_width;
  a.query_bias = o.query_bias, a.output_bias = o.output_bias, a.sinks = o.sinks;
  a.query_norm = o.query_norm, a.norm_epsilon = o.norm_epsilon, a.clip = o.clip;
  a.scale = o.attention_scale, a.window = layer % o.window_every == 0 ? o.window : 0, a.rotary = *o.rotary;
  return a;
}

std::shared_ptr<AttentionBlock> make_attention(const DecoderOptions& o, int64_t layer, const Rng& rng) {
  if (o.attention_experts->experts > 0) {
    const bool plain = o.latent == 0 && o.window == 0 && !o.sinks && !o.query_bias &&
                       o.query_norm == "none" && o.clip == 0 && o.key_heads == o.heads;
    GW_CHECK(plain,
             "decoder: expected attention_experts without latent attention, windows, sinks, norms, bounds, "
             "biases of "
             "queries and shared keys, got one of them");
    return std::make_shared<MixedAttention>(
        MixedAttentionOptions{o.width, o.heads, o.head_width, o.attention_scale, *o.rotary,
                              *o.attention_experts, fmt::format("layer{}.attention", layer)},
        rng, o.drawn);
  }
  if (o.latent == 0) return std::make_shared<Attention>(attention_of(o, layer), rng, o.drawn);
  GW_CHECK(
      o.turned_width > 0 && o.still_width > 0 && o.value_width > 0,
      "decoder: expected still_width, turned_width and value_width for latent attention, got {}, {} and {}",
      o.still_width, o.turned_width, o.value_width);
  return std::make_shared<LatentAttention>(
      LatentOptions{o.width, o.heads, o.query_latent, o.latent, o.still_width, o.turned_width, o.value_width,
                    o.query_bias, *o.rotary},
      rng, o.drawn);
}

Rng stream(const DecoderOptions& o) { return Rng(static_cast<uint64_t>(o.seed)).fork("language/decoder"); }

}  // namespace

DecoderLayer::DecoderLayer(const DecoderOptions& o, int64_t index)
    : torch::nn::Module("DecoderLayer"), index_(index), residual_scale_(o.residual_scale) {
  const auto rng = stream(o).fork("layer", static_cast<uint64_t>(index));
  const auto norm = [&](const char* name) {
    return register_module(name, std::make_shared<TokenNorm>(o.width, o.norm_epsilon, o.centred_norm));
  };
  attention_norm_ = norm("attention_norm");
  attention_ = make_attention(o, index, rng.fork("attention"));
  register_module("attention", std::static_pointer_cast<torch::nn::Module>(attention_));
  norm_ = norm("norm");
  if (o.routed(index)) {
    MixtureOptions mixture;
    parse_options("mixture", o.mixture.json(), mixture);
    mixture.in = o.width, mixture.drawn = o.drawn;
    mixture.seed = static_cast<int64_t>(rng.fork("mixture").key() >> 1);
    mixture_ = register_module("mixture", std::make_shared<Mixture>(mixture));
    mixture_->set_site(fmt::format("layer{}", index));
    return;
  }
  bank_ = PartChoice("mlp", {{"hidden", o.hidden > 0 ? o.hidden : 4 * o.width},
                             {"glu", true},
                             {"activation", o.activation},
                             {"bias", o.hidden_bias},
                             {"learn_activation", false}});
  bank_context_ = {1, o.width, o.width, rng.fork("dense").key(), o.drawn};
  dense_ = register_module("dense", make_chosen<Bank>(bank_, bank_context_));
}

void DecoderLayer::hold(const std::string& weights, int64_t group) {
  attention_->hold(weights == "int4" ? 4 : 8, group);
  if (mixture_ != nullptr) return mixture_->hold(weights, group);
  auto held = bank_;
  held.options["weights"] = weights, held.options["group"] = group;
  auto bank = make_chosen<Bank>(held, bank_context_);
  bank->take(*dense_);
  dense_ = replace_module("dense", bank);
}

at::Tensor DecoderLayer::perceptron(const at::Tensor& x, RouterInputs& inputs, const Pass& pass,
                                    std::vector<SitedPlan>& plans) {
  if (mixture_ == nullptr) {
    const int64_t n = x.size(0);
    return dense_->mix(x, {0, n}, at::arange(n, at::kLong), at::ones({n}, at::kFloat));
  }
  auto out = mixture_->forward(x, inputs, pass);
  plans.push_back({fmt::format("layer{}", index_), std::move(out.plan)});
  inputs.scores = out.next_scores;
  return out.y;
}

at::Tensor DecoderLayer::forward(const at::Tensor& given, const SequenceRows& rows, RouterInputs& inputs,
                                 const Pass& pass, std::vector<SitedPlan>& plans) {
  const auto added = [&](const at::Tensor& x, const at::Tensor& more) {
    return residual_scale_ == 1 ? x + more : x + more * residual_scale_;
  };
  Decisions decisions{pass, inputs, plans};
  const auto x = added(given, attention_->forward(attention_norm_->forward(given), rows, index_, decisions));
  return added(x, perceptron(norm_->forward(x), inputs, pass, plans));
}

Decoder::Decoder(const DecoderOptions& options) : torch::nn::Module("Decoder"), options_(options) {
  auto& o = options_;
  GW_CHECK(o.vocabulary > 0, "decoder: expected a vocabulary, got {}", o.vocabulary);
  if (o.key_heads == 0) o.key_heads = o.heads;
  if (o.head_width == 0) {
    GW_CHECK(o.width % o.heads == 0,
             "decoder: expected a width that {} heads divide, got {}; or say head_width", o.heads, o.width);
    o.head_width = o.width / o.heads;
  }
  const auto rng = stream(o);
  embedding_ = register_parameter("embedding",
                                  o.drawn ? ops::normal(rng.fork("embedding"), {o.vocabulary, o.width}, 0, 1)
                                          : at::empty({o.vocabulary, o.width}));
  for (int64_t i = 0; i < o.depth; ++i)
    layers_.push_back(register_module(fmt::format("layer{}", i), std::make_shared<DecoderLayer>(o, i)));
  norm_ = register_module(
      "norm", std::make_shared<TokenNorm>(o.width, o.last_epsilon > 0 ? o.last_epsilon : o.norm_epsilon,
                                          o.centred_norm));
  if (!o.tied)
    head_ = register_module(
        "head", std::make_shared<Projection>(o.width, o.vocabulary, o.head_bias, rng.fork("head"), o.drawn));
}

SequenceRows Decoder::rows_of(const Tokens& tokens) const {
  const auto& lengths = tokens.lengths;
  const int64_t sum = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  GW_CHECK(tokens.id.defined() && tokens.id.dim() == 1 && tokens.id.scalar_type() == at::kLong,
           "decoder: expected ids [N] int64, got others");
  GW_CHECK(sum == tokens.id.size(0) &&
               std::all_of(lengths.begin(), lengths.end(), [](int64_t n) { return n > 0; }),
           "decoder: expected lengths of at least 1 that add up to {} tokens, got {}", tokens.id.size(0),
           sum);
  GW_CHECK(tokens.states.empty() || tokens.states.size() == lengths.size(),
           "decoder: expected a state for each of {} sequences or none, got {}", lengths.size(),
           tokens.states.size());
  SequenceRows rows{lengths, tokens.states, {}};
  std::vector<at::Tensor> cos, sin;
  for (size_t s = 0; s < lengths.size(); ++s) {
    int64_t before = 0;
    if (!tokens.states.empty()) {
      auto& state = *tokens.states[s];
      state.layers.resize(layers_.size());
      before = state.length();
    }
    const int64_t after = before + lengths[s];
    const auto own = layers_.front()->rotary().angles(at::arange(before, after, at::kLong), after);
    cos.push_back(own.cos), sin.push_back(own.sin);
  }
  rows.angles = {at::cat(cos), at::cat(sin)};
  return rows;
}

Decoder::Answer Decoder::forward(const Tokens& tokens, const Pass& pass) {
  const auto rows = rows_of(tokens);
  const auto low = tokens.id.min().item<int64_t>(), high = tokens.id.max().item<int64_t>();
  GW_CHECK(low >= 0 && high < options_.vocabulary, "decoder: expected ids in [0, {}), got {}",
           options_.vocabulary, low < 0 ? low : high);
  Answer answer;
  RouterInputs inputs;
  inputs.token_id = tokens.id;
  auto x = at::embedding(embedding_, tokens.id);
  if (options_.embedding_scale != 1) x = x * options_.embedding_scale;
  for (auto& layer : layers_) x = layer->forward(x, rows, inputs, pass, answer.plans);
  if (tokens.last_only) {
    std::vector<int64_t> last;
    std::partial_sum(tokens.lengths.begin(), tokens.lengths.end(), std::back_inserter(last));
    for (auto& row : last) --row;
    x = x.index_select(0, at::tensor(last, at::kLong));
  }
  x = norm_->forward(x);
  const auto logits = head_ != nullptr ? head_->forward(x)
                      : held_head_     ? ops::dense(x, *held_head_)
                                       : projected(x, embedding_, {});
  answer.logits = logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
  if (options_.logit_divisor != 1) answer.logits = answer.logits / options_.logit_divisor;
  return answer;
}

void Decoder::hold_head(const std::string& weights, int64_t group) {
  const int64_t bits = weights == "int4" ? 4 : 8;
  if (head_ != nullptr)
    head_->hold(bits, group);
  else
    held_head_ = ops::dense_quantised(embedding_, {}, bits, group);
}

int64_t Decoder::bytes() const {
  int64_t all = held_head_ ? held_head_->bytes() : 0;
  for (const auto& t : parameters()) all += static_cast<int64_t>(t.nbytes());
  for (const auto& t : buffers()) all += static_cast<int64_t>(t.nbytes());
  for (const auto& part : modules())
    if (const auto* projection = part->as<Projection>()) all += projection->held_bytes();
  for (const auto& layer : layers_) all += layer->attention().held_bytes();
  return all;
}

void Decoder::end_step() {
  for (auto& layer : layers_) {
    layer->attention().end_step();
    if (layer->mixture() != nullptr) layer->mixture()->end_step();
  }
}

}  // namespace gw::inline language
