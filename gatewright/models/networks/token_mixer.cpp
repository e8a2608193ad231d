#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/models/staged_model.h"
#include "gatewright/models/table_rows.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

/// Sequences of ids through short causal convolutions and mixtures: the smallest model in which every gate
/// and policy for tokens can work.
/// Math:   x = embedding(token); per block x ← x + Σ_j w_j ∘ norm(x)_{t−j} over the last `reach` tokens, then
///         x ← x + mixture(norm(x)); answer = head(norm(x_t)) per token, or head(mean_t norm(x_t)) per
///         sequence.
/// Shapes: token [B, T] → [B, T, width] or [B, width].
/// Cost:   per token and block reach·D for the convolution and that of the mixture's bank.
/// Routers see: "token_id", "sequence" (place in the batch), "position" (the place in the window on a
/// circle), and, where the data have
///         domains, "task" and "route" (the domain, modulo the experts).
/// Stages are its blocks, for early exits; scores that a gate makes ahead do not pass from one to the next.
class TokenMixer : public BlockModel, public StagedModel {
 public:
  static constexpr const char* kSummary =
      "embedding, blocks of causal convolution and mixture, head: sequences of ids";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    int64_t width = 64, depth = 2, reach = 4;
    std::string precision = "f32";
    OptionTable mixture{Json{{"experts", 4}, {"bank", {{"part", "mlp"}, {"hidden", 64}}}}};
    void fields(OptionVisitor& v) override {
      v.integer("width", width, "width D of a token", 1, 1 << 16);
      v.integer("depth", depth, "blocks", 1, 1024);
      v.integer("reach", reach, "tokens that the convolution of a block sees: this one and those before", 1,
                1024);
      visit_precision(v, precision);
      v.table("mixture", mixture,
              "options of each block's mixture: {experts = 4, gate = …, policy = …, bank = …, balancers = "
              "[...]}");
    }
  };

  TokenMixer(const Options& options, const Context& context)
      : BlockModel("TokenMixer"), options_(options), context_(context) {
    const auto& data = context.data;
    GW_CHECK(data.vocabulary > 0 && data.context > 0,
             "networks/token_mixer: expected data with the field \"token\", got none; take bytes");
    const Rng rng = Rng(context.seed).fork("networks/token_mixer");
    embedding_ = register_parameter(
        "embedding", ops::normal(rng.fork("embedding"), {data.vocabulary, options.width}, 0, 1));
    std::vector<std::string> facts{"token_id", "sequence", "position"};
    if (data.domains > 0) facts.insert(facts.end(), {"task", "route"});
    blocks_ =
        register_module("blocks", std::make_shared<MixtureBlocks>(MixtureBlocks::Options{
                                      options.width, options.depth, options.mixture.json(), facts,
                                      options.precision, "networks/token_mixer", rng.fork("blocks").key()}));
    for (int64_t i = 0; i < options.depth; ++i) {
      const auto name = std::to_string(i);
      norms_.push_back(register_module("norm" + name, std::make_shared<RmsNorm>(options.width)));
      const double deviation = 1 / std::sqrt(static_cast<double>(options.reach));
      taps_.push_back(
          register_parameter("reach" + name, ops::normal(rng.fork("reach", static_cast<uint64_t>(i)),
                                                         {options.reach, options.width}, 0, deviation)));
    }
    last_ = register_module("norm", std::make_shared<RmsNorm>(options.width));
    head_ = register_module("head",
                            std::make_shared<Linear>(options.width, context.answer.width, rng.fork("head")));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto& token = batch.at("token");
    GW_CHECK(token.dim() == 2 && token.scalar_type() == at::kLong,
             "networks/token_mixer: expected tokens [B, T] int64, got {} dimensions", token.dim());
    auto inputs = facts(batch);
    auto own = pass;
    own.rng = pass.rng.fork("networks/token_mixer");
    auto x = at::embedding(embedding_, token);
    Output out;
    for (int64_t i = 0; i < blocks_->depth(); ++i) x = block(i, x, inputs, own, out.plans);
    x = last_->forward(x);
    if (!context_.answer.per_token) x = x.mean(1);
    out.answer = head_->forward(x);
    return out;
  }

  Batch example(int64_t count, const Rng& rng) const override {
    const auto& data = context_.data;
    Batch batch;
    batch.fields["token"] =
        ops::uniform(rng.fork("token"), {count, data.context}, 0, static_cast<double>(data.vocabulary))
            .to(at::kLong)
            .clamp_max(data.vocabulary - 1);
    if (data.domains > 0) batch.fields["domain"] = at::arange(count, at::kLong).remainder(data.domains);
    batch.index = at::arange(count, at::kLong);
    return batch;
  }

  int64_t stages() const override { return blocks_->depth(); }
  StageRows begin(const Batch& batch) override {
    GW_CHECK(
        !context_.answer.per_token,
        "networks/token_mixer: expected a task with one answer for each sequence, got one for each token; "
        "exits let whole sequences leave");
    StageRows rows{at::embedding(embedding_, batch.at("token")), {}};
    for (const char* name : {"token", "domain"})
      if (batch.has(name)) rows.told.fields[name] = batch.at(name);
    return rows;
  }
  StageRows stage(int64_t index, const StageRows& rows) override {
    Pass pass;
    pass.train = false, pass.rng = Rng(0).fork("networks/token_mixer");
    auto inputs = facts(rows.told);
    std::vector<SitedPlan> plans;
    return {block(index, rows.x, inputs, pass, plans), rows.told};
  }
  at::Tensor finish(const StageRows& rows) override { return head_->forward(means(rows)); }
  at::Tensor means(const StageRows& rows) override { return last_->forward(rows.x).mean(1); }

 private:
  at::Tensor block(int64_t index, at::Tensor x, RouterInputs& inputs, const Pass& pass,
                   std::vector<SitedPlan>& plans) {
    const auto n = static_cast<size_t>(index);
    x = x + mixed(norms_[n]->forward(x), taps_[n]);
    return blocks_->forward(index, x.flatten(0, 1), inputs, pass, plans).view(x.sizes());
  }

  /// Σ_j w_j ∘ x_{t−j}, nothing before the window.
  at::Tensor mixed(const at::Tensor& x, const at::Tensor& taps) const {
    auto y = x * taps[0];
    const int64_t t = x.size(1);
    for (int64_t j = 1; j < std::min(options_.reach, t); ++j) {
      y = y + at::constant_pad_nd(x.narrow(1, 0, t - j) * taps[j], {0, 0, j, 0});
    }
    return y;
  }

  RouterInputs facts(const TensorSet& batch) const {
    const auto& token = batch.at("token");
    const int64_t b = token.size(0), t = token.size(1);
    RouterInputs inputs;
    inputs.token_id = token.reshape({-1});
    inputs.sequence = at::arange(b, at::kLong).repeat_interleave(t);
    const auto angle = at::arange(t, at::kFloat) * (6.283185307179586 / static_cast<double>(t));
    inputs.position = at::stack({at::cos(angle), at::sin(angle)}, 1).repeat({b, 1});
    if (const auto domain = batch.find("domain"); domain.defined()) {
      tell_domain(inputs, domain.repeat_interleave(t), blocks_->experts());
    }
    return inputs;
  }

  Options options_;
  Context context_;
  at::Tensor embedding_;
  std::vector<at::Tensor> taps_;
  std::vector<std::shared_ptr<RmsNorm>> norms_;
  std::shared_ptr<RmsNorm> last_;
  std::shared_ptr<Linear> head_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::TokenMixer);
