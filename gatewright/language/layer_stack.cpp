#include "gatewright/language/layer_stack.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/blocks/head_attention.h"
#include "gatewright/language/blocks/latent_attention.h"
#include "gatewright/ops/random.h"

namespace gw::inline language {
namespace {

AttentionOptions attention_of(const DecoderOptions& o, int64_t layer) {
  AttentionOptions a;
  a.width = o.width, a.heads = o.heads, a.key_heads = o.key_heads, a.head_width = o.head_width;
  a.query_bias = o.query_bias, a.output_bias = o.output_bias, a.sinks = o.sinks;
  a.query_norm = o.query_norm, a.norm_epsilon = o.norm_epsilon, a.clip = o.clip;
  a.scale = o.attention_scale, a.window = layer % o.window_every == 0 ? o.window : 0, a.rotary = *o.rotary;
  a.rotated = o.positions == "rotary", a.causal = !o.both_ways;
  return a;
}

CrossOptions cross_of(const DecoderOptions& o) {
  return {o.width, o.heads, o.key_heads, o.head_width, o.query_bias, o.output_bias, o.attention_scale};
}

std::shared_ptr<AttentionBlock> make_attention(const DecoderOptions& o, int64_t layer, const Rng& rng) {
  const auto& experts = *o.attention_experts;
  GW_CHECK(
      (o.positions == "rotary" && !o.both_ways) || ((experts.experts == 0 || experts.heads) && o.latent == 0),
      "decoder: expected plain attention for an encoder or other positions, got attention_experts or "
      "latent");
  if (experts.experts > 0) {
    const bool plain = o.latent == 0 && o.window == 0 && !o.sinks && !o.query_bias &&
                       o.query_norm == "none" && o.clip == 0 && o.key_heads == o.heads;
    GW_CHECK(plain,
             "decoder: expected attention_experts without latent attention, windows, sinks, norms, bounds, "
             "biases of queries and shared keys, got one of them");
    GW_CHECK(
        !experts.heads || (o.both_ways && o.positions != "relative"),
        "decoder: expected an encoder without relative positions for heads with tokens of their own, got "
        "another; which tokens a head takes depends on those that follow");
    const MixedAttentionOptions own{o.width,
                                    o.heads,
                                    o.head_width,
                                    o.attention_scale,
                                    *o.rotary,
                                    experts,
                                    fmt::format("{}layer{}.attention", o.site, layer),
                                    o.positions == "rotary"};
    if (experts.heads) return std::make_shared<HeadAttention>(own, rng, o.drawn);
    return std::make_shared<MixedAttention>(own, rng, o.drawn);
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

/// Sines of a token's place by ever slower waves, then their cosines: [N, width] like x.
/// Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.5, in the order of tensor2tensor.
at::Tensor sinusoids(const at::Tensor& place, const at::Tensor& x) {
  const int64_t width = x.size(1), half = width / 2;
  const double step = std::log(10000.0) / static_cast<double>(half - 1);
  const auto wave = (at::arange(half, at::kFloat) * -step).exp();
  const auto angle = place.to(at::kFloat).unsqueeze(1) * wave.unsqueeze(0);
  auto all = at::cat({angle.sin(), angle.cos()}, 1);
  if (width % 2 == 1) all = at::constant_pad_nd(all, {0, 1});
  return all.to(x.scalar_type());
}

void check_ids(const at::Tensor& given, int64_t vocabulary) {
  const auto id = given.contiguous();
  const auto* first = id.data_ptr<int64_t>();
  for (int64_t i = 0; i < id.numel(); ++i)
    GW_CHECK(first[i] >= 0 && first[i] < vocabulary, "decoder: expected ids in [0, {}), got {}", vocabulary,
             first[i]);
}

/// A share of the values at zero, the others divided by the rest.
at::Tensor left_out(const at::Tensor& x, double share, const Rng& rng) {
  if (share == 0) return x;
  const auto stays = ops::uniform(rng, x.sizes(), 0, 1).ge(share);
  return x * stays.to(x.scalar_type()) / (1 - share);
}

/// x + more, without an operation's checks where a token is decoded.
at::Tensor sum_of(const at::Tensor& x, const at::Tensor& more) {
  constexpr int64_t kFew = 1 << 14;
  const bool plain = !at::GradMode::is_enabled() && x.numel() <= kFew && x.sizes() == more.sizes() &&
                     x.scalar_type() == at::kFloat && more.scalar_type() == at::kFloat && x.is_contiguous() &&
                     more.is_contiguous() && x.device().is_cpu() && more.device().is_cpu();
  if (!plain) return x + more;
  const auto y = at::empty(x.sizes(), at::kFloat);
  const auto *a = x.data_ptr<float>(), *b = more.data_ptr<float>();
  auto* to = y.data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); ++i) to[i] = a[i] + b[i];
  return y;
}

Rng stream_of(const DecoderOptions& o) { return Rng(static_cast<uint64_t>(o.seed)).fork("language/decoder"); }

}  // namespace

DecoderLayer::DecoderLayer(const DecoderOptions& o, int64_t index)
    : torch::nn::Module("DecoderLayer"),
      index_(index),
      site_(fmt::format("{}layer{}", o.site, index)),
      residual_scale_(o.residual_scale),
      norm_after_(o.norm_after),
      dropout_(o.dropout) {
  const auto rng = stream_of(o).fork("layer", static_cast<uint64_t>(index));
  const auto norm = [&](const char* name) {
    return register_module(name, std::make_shared<TokenNorm>(o.width, o.norm_epsilon, o.centred_norm));
  };
  attention_norm_ = norm("attention_norm");
  attention_ = make_attention(o, index, rng.fork("attention"));
  register_module("attention", std::static_pointer_cast<torch::nn::Module>(attention_));
  if (o.crossed) {
    cross_norm_ = norm("cross_norm");
    cross_ =
        register_module("cross", std::make_shared<CrossAttention>(cross_of(o), rng.fork("cross"), o.drawn));
  }
  norm_ = norm("norm");
  if (o.routed(index)) {
    MixtureOptions mixture;
    parse_options("mixture", o.mixture.json(), mixture);
    mixture.in = o.width, mixture.drawn = o.drawn;
    mixture.seed = static_cast<int64_t>(rng.fork("mixture").key() >> 1);
    mixture_ = register_module("mixture", std::make_shared<Mixture>(mixture));
    mixture_->set_site(site_);
    return;
  }
  bank_ = o.perceptron();
  bank_context_ = {1, o.width, o.width, rng.fork("dense").key(), o.drawn};
  dense_ = register_module("dense", make_chosen<Bank>(bank_, bank_context_));
}

void DecoderLayer::hold(const std::string& weights, int64_t group) {
  attention_->hold(weights == "int4" ? 4 : 8, group);
  if (cross_ != nullptr) cross_->hold(weights == "int4" ? 4 : 8, group);
  if (mixture_ != nullptr) return mixture_->hold(weights, group);
  auto held = bank_;
  held.options["weights"] = weights, held.options["group"] = group;
  auto bank = make_chosen<Bank>(held, bank_context_);
  bank->take(*dense_);
  dense_ = replace_module("dense", bank);
}

void DecoderLayer::adapt(const Json& adapters, const Rng& rng) {
  attention_->adapt(adapters, rng.fork("attention"), site_ + ".attention");
  if (dense_ == nullptr) return;
  adapted_ = register_module(
      "dense_adapters", std::make_shared<AdaptedPerceptron>(dense_, bank_.options.value("activation", ""),
                                                            adapters, rng.fork("dense"), site_ + ".dense"));
}

void DecoderLayer::end_step() {
  attention_->end_step();
  if (mixture_ != nullptr) mixture_->end_step();
  if (adapted_ != nullptr) adapted_->end_step();
}

at::Tensor DecoderLayer::perceptron(const at::Tensor& x, Decisions& d) {
  if (adapted_ != nullptr) return adapted_->forward(x, d);
  if (mixture_ == nullptr) {
    const int64_t n = x.size(0);
    const auto token = at::empty({n}, at::kLong), weight = at::empty({n}, at::kFloat);
    std::iota(token.data_ptr<int64_t>(), token.data_ptr<int64_t>() + n, int64_t{0});
    std::fill_n(weight.data_ptr<float>(), n, 1.0f);
    return dense_->mix(x, {0, n}, token, weight);
  }
  auto own = d.pass;  // layers that drew the same would mask the same experts' answers in all of them
  own.rng = own.rng.fork(site_);
  auto out = mixture_->forward(x, d.inputs, own);
  d.plans.push_back({site_, std::move(out.plan)});
  d.inputs.scores = out.next_scores;
  return out.y;
}

at::Tensor DecoderLayer::added(const at::Tensor& x, const at::Tensor& more, const char* part,
                               const Pass& pass) const {
  const auto kept =
      pass.training(is_training()) ? left_out(more, dropout_, pass.rng.fork(site_).fork(part)) : more;
  return residual_scale_ == 1 ? sum_of(x, kept) : x + kept * residual_scale_;
}

at::Tensor DecoderLayer::forward(const at::Tensor& given, const SequenceRows& rows, RouterInputs& inputs,
                                 const Pass& pass, std::vector<SitedPlan>& plans) {
  Decisions decisions{pass, inputs, plans};
  if (norm_after_) {
    const auto seen = attention_->forward(given, rows, index_, decisions);
    const auto x = attention_norm_->forward(added(given, seen, "attention", pass));
    return norm_->forward(added(x, perceptron(x, decisions), "perceptron", pass));
  }
  const auto seen = attention_->forward(attention_norm_->forward(given), rows, index_, decisions);
  auto x = added(given, seen, "attention", pass);
  if (cross_ != nullptr) x = added(x, cross_->forward(cross_norm_->forward(x), rows, index_), "cross", pass);
  return added(x, perceptron(norm_->forward(x), decisions), "perceptron", pass);
}

LayerStack::LayerStack(const std::string& name, const DecoderOptions& options)
    : LayerStack(name, options, Empty{}) {
  fill();
}

LayerStack::LayerStack(const std::string& name, const DecoderOptions& options, Empty)
    : torch::nn::Module(name), options_(options) {
  auto& o = options_;
  GW_CHECK(o.vocabulary > 0, "decoder: expected a vocabulary, got {}", o.vocabulary);
  GW_CHECK(o.positions != "sinusoidal" || o.width >= 4,
           "decoder: expected a width of at least 4 for sinusoidal positions, got {}", o.width);
  GW_CHECK(o.positions != "learned" || (o.context > 0 && o.context <= 1 << 24),
           "decoder: expected a context in [1, {}] for learned positions, got {}", 1 << 24, o.context);
  GW_CHECK(!o.norm_after || !o.crossed,
           "decoder: expected norms before the parts of layers with a source, got norm_after");
  if (o.key_heads == 0) o.key_heads = o.heads;
  if (o.head_width > 0) return;
  GW_CHECK(o.width % o.heads == 0,
           "decoder: expected a width that {} heads divide, got {}; or say head_width", o.heads, o.width);
  o.head_width = o.width / o.heads;
}

Rng LayerStack::stream(const DecoderOptions& o) { return stream_of(o); }

void LayerStack::fill() {
  const auto& o = options_;
  for (int64_t i = 0; i < o.depth; ++i)
    layers_.push_back(register_module(fmt::format("layer{}", i), std::make_shared<DecoderLayer>(o, i)));
  norm_ = register_module(
      "norm", std::make_shared<TokenNorm>(o.width, o.last_epsilon > 0 ? o.last_epsilon : o.norm_epsilon,
                                          o.centred_norm));
  if (o.positions == "learned") {
    const auto shape = {o.context, o.width};
    places_ = register_parameter(
        "places", o.drawn ? ops::normal(stream_of(o).fork("places"), shape, 0, 0.1) : at::empty(shape));
  }
  if (o.positions != "relative") return;
  const RelativeOptions relative{o.heads, o.relative_buckets, o.relative_farthest, o.both_ways,
                                 1 / std::sqrt(static_cast<double>(o.width))};
  relative_ = register_module(
      "relative", std::make_shared<RelativeBias>(relative, stream_of(o).fork("relative"), o.drawn));
}

void LayerStack::adapt() {
  for (auto& parameter : parameters()) parameter.set_requires_grad(false);
  const auto rng = stream_of(options_).fork("adapters");
  for (size_t i = 0; i < layers_.size(); ++i)
    layers_[i]->adapt(options_.adapters.json(), rng.fork("layer", static_cast<uint64_t>(i)));
}

void LayerStack::place(const TextTokens& tokens, SequenceRows& rows) const {
  const auto& lengths = tokens.lengths;
  std::vector<at::Tensor> cos, sin, all;
  for (size_t s = 0; s < lengths.size(); ++s) {
    int64_t before = 0;
    if (!tokens.states.empty()) {
      auto& state = *tokens.states[s];
      state.open(layers_.size());
      before = state.length();
    }
    const int64_t after = before + lengths[s];
    all.push_back(at::arange(before, after, at::kLong));
    const auto own = layers_.front()->rotary().angles(all.back(), after);
    cos.push_back(own.cos), sin.push_back(own.sin);
  }
  const bool alone = lengths.size() == 1;
  rows.angles = {alone ? cos.front() : at::cat(cos), alone ? sin.front() : at::cat(sin)};
  if (options_.positions == "sinusoidal") rows.place = at::cat(all) + options_.first_place;
  if (options_.positions != "learned") return;
  rows.place = at::cat(all);
  const auto last = rows.place.max().item<int64_t>();
  GW_CHECK(last < options_.context, "decoder: expected texts of at most {} tokens, got {}; cut them",
           options_.context, last + 1);
}

at::Tensor LayerStack::placed(const at::Tensor& x, const SequenceRows& rows) const {
  if (!rows.place.defined()) return x;
  return x + (places_.defined() ? at::embedding(places_, rows.place) : sinusoids(rows.place, x));
}

SequenceRows LayerStack::rows_of(const TextTokens& tokens) const {
  const auto& lengths = tokens.lengths;
  const int64_t sum = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  GW_CHECK(tokens.id.defined() && tokens.id.dim() == 1 && tokens.id.scalar_type() == at::kLong,
           "decoder: expected ids [N] int64, got others");
  GW_CHECK(!lengths.empty() && sum == tokens.id.size(0) &&
               std::all_of(lengths.begin(), lengths.end(), [](int64_t n) { return n > 0; }),
           "decoder: expected lengths of at least 1 that add up to {} tokens, got {}", tokens.id.size(0),
           sum);
  GW_CHECK(tokens.states.empty() || tokens.states.size() == lengths.size(),
           "decoder: expected a state for each of {} sequences or none, got {}", lengths.size(),
           tokens.states.size());
  check_ids(tokens.id, options_.vocabulary);
  SequenceRows rows{lengths, tokens.states, {}};
  rows.relative = relative_.get();
  place(tokens, rows);
  return rows;
}

at::Tensor LayerStack::through(const at::Tensor& given, const SequenceRows& rows, RouterInputs& inputs,
                               const Pass& pass, std::vector<SitedPlan>& plans, bool last) const {
  std::vector<int64_t> text, ends;
  for (size_t s = 0; s < rows.lengths.size(); ++s) {
    text.insert(text.end(), static_cast<size_t>(rows.lengths[s]), static_cast<int64_t>(s));
    ends.push_back(static_cast<int64_t>(text.size()) - 1);
  }
  inputs.sequence = at::tensor(text, at::kLong);
  auto x = placed(given, rows);
  if (options_.norm_after) x = norm_->forward(x);
  if (pass.training(is_training()))
    x = left_out(x, options_.dropout, pass.rng.fork(options_.site + "embedding"));
  for (const auto& layer : layers_) x = layer->forward(x, rows, inputs, pass, plans);
  if (last && text.size() > ends.size()) x = x.index_select(0, at::tensor(ends, at::kLong));
  return options_.norm_after ? x : norm_->forward(x);
}

void LayerStack::end_step() {
  for (auto& layer : layers_) layer->end_step();
}

int64_t weight_bytes(const torch::nn::Module& model) {
  int64_t all = 0;
  for (const auto& t : model.parameters()) all += static_cast<int64_t>(t.nbytes());
  for (const auto& t : model.buffers()) all += static_cast<int64_t>(t.nbytes());
  for (const auto& part : model.modules(/*include_self=*/false)) {
    if (const auto* projection = part->as<Projection>()) all += projection->held_bytes();
    if (const auto* attention = part->as<AttentionBlock>()) all += attention->held_bytes();
    if (const auto* bank = part->as<Bank>()) all += bank->kept_bytes();
  }
  return all;
}

}  // namespace gw::inline language
