#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/continual_layers.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

/// Sequences of ids through convolutions along time, mixtures and attention: trained on windows, run on
/// streams step by step with the same answers (gatewright/models/steps.h).
/// Math:   x = embedding(token); block i: x ← x + relu(conv_i(norm(x))), dilation growth^i, then
///         x ← x + mixture(norm(x)) where there is one. attention "newest": x ← x + attention(norm(x)), each
///         token over the `window` tokens up to it. Answer per token: head(norm(x_t)). Answer per sequence:
///         head(norm(x_t)) at the last token that has all it looks ahead to; with attention "all" plus the
///         mean answer of the `window` tokens up to it, which look at each other.
/// Shapes: token [B, T] → [B, T, width] or [B, width]; step by step [S] → [S, width].
/// Errors: ValueError for data without tokens, attention "all" with an answer per token, and a mixture whose
///         parts need facts: what a token's place in a window is, a stream does not know.
/// Cost:   step by step that of one token, against the T tokens of a window.
/// Source: Hedegaard and Iosifidis 2022 and 2023, arXiv 2106.00050 and 2201.06268; the network is ours. Gates
///         and experts act on each token by itself, so that step and window route alike. Policies with room
///         for a share of the tokens do not: a stream's token is alone.
class Continual : public Model, public Steppable {
 public:
  static constexpr const char* kSummary =
      "convolutions along time, mixtures, attention: streams are answered step by step";
  static constexpr const char* kSource = "arXiv 2106.00050, arXiv 2201.06268";
  using Options = ContinualOptions;

  Continual(const Options& options, const Context& context)
      : Model("Continual"), options_(options), context_(context) {
    const auto& data = context.data;
    GW_CHECK(data.vocabulary > 0 && data.context > 0,
             "networks/continual: expected data with the field \"token\", got none; take bytes");
    GW_CHECK(!(context.answer.per_token && options.attention == "all"),
             "networks/continual: expected attention \"newest\" or \"none\" for answers per token, got "
             "\"all\": all tokens of a window answer together");
    const Rng rng = Rng(context.seed).fork("networks/continual");
    layers_ = register_module("layers", std::make_shared<ContinualLayers>(options, rng));
    embedding_ = register_parameter(
        "embedding", ops::normal(rng.fork("embedding"), {data.vocabulary, options.width}, 0, 1));
    norm_ = register_module("norm", std::make_shared<RmsNorm>(options.width));
    head_ = register_module("head",
                            std::make_shared<Linear>(options.width, context.answer.width, rng.fork("head")));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto& token = batch.at("token");
    GW_CHECK(token.dim() == 2 && token.scalar_type() == at::kLong,
             "networks/continual: expected tokens [B, T] int64, got {} dimensions", token.dim());
    auto own = pass;
    own.rng = pass.rng.fork("networks/continual");
    Output out;
    auto x = layers_->blocks(at::embedding(embedding_, token), own, out.plans);
    if (context_.answer.per_token) {
      x = layers_->attended(x);
      out.answer =
          head_->forward(norm_->forward(x).reshape({-1, x.size(2)})).view({x.size(0), x.size(1), -1});
      return out;
    }
    const int64_t seen = std::max<int64_t>(1, x.size(1) - delay());
    out.answer = head_->forward(norm_->forward(layers_->last(x.narrow(1, 0, seen))));
    return out;
  }

  std::unique_ptr<StepSession> open_steps() override { return std::make_unique<Session>(*this); }
  int64_t delay() const override { return layers_->ahead(); }
  int64_t receptive_field() const override { return layers_->receptive_field(); }

  Batch example(int64_t count, const Rng& rng) const override {
    const auto& data = context_.data;
    Batch batch;
    batch.fields["token"] =
        ops::uniform(rng.fork("token"), {count, data.context}, 0, static_cast<double>(data.vocabulary))
            .to(at::kLong)
            .clamp_max(data.vocabulary - 1);
    batch.index = at::arange(count, at::kLong);
    return batch;
  }
  void end_step() override { layers_->end_step(); }
  bool routed() const override { return layers_->experts() > 1; }

 private:
  class Session : public StepSession {
   public:
    explicit Session(Continual& model) : model_(model), layers_(model.layers_->steps()) {}
    at::Tensor step(const at::Tensor& token) override {
      GW_CHECK(token.dim() == 1 && token.scalar_type() == at::kLong,
               "networks/continual: expected a token of each stream [S] int64, got {} dimensions",
               token.dim());
      const at::NoGradGuard no_grad;
      return head(layers_.step(embedded(token)));
    }
    at::Tensor finish() override {
      const at::NoGradGuard no_grad;
      return head(layers_.finish());
    }
    void reset() override { layers_.reset(); }

   private:
    at::Tensor embedded(const at::Tensor& token) const {
      const auto table = model_.embedding_.contiguous(), ids = token.contiguous();
      const int64_t vocabulary = table.size(0), width = table.size(1);
      auto frame = at::empty({ids.numel(), width}, table.options().requires_grad(false));
      AT_DISPATCH_FLOATING_TYPES(table.scalar_type(), "embedding", [&] {
        for (int64_t s = 0; s < ids.numel(); ++s) {
          const int64_t id = ids.data_ptr<int64_t>()[s];
          GW_CHECK(id >= 0 && id < vocabulary, "networks/continual: expected tokens in [0, {}), got {}",
                   vocabulary, id);
          std::copy_n(table.data_ptr<scalar_t>() + id * width, width, frame.data_ptr<scalar_t>() + s * width);
        }
      });
      return frame;
    }
    at::Tensor head(const at::Tensor& frame) const {
      return frame.defined() ? model_.head_->of_frame(model_.norm_->of_frame(frame)) : frame;
    }
    Continual& model_;
    FrameChain layers_;
  };

  Options options_;
  Context context_;
  std::shared_ptr<ContinualLayers> layers_;
  at::Tensor embedding_;
  std::shared_ptr<RmsNorm> norm_;
  std::shared_ptr<Linear> head_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::Continual);
