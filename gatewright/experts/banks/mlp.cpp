#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/experts/bank.h"
#include "gatewright/experts/ffn_weights.h"
#include "gatewright/experts/held_ffn.h"
#include "gatewright/experts/traits.h"
#include "gatewright/ops/activation.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/ops/kept.h"
#include "gatewright/ops/moe_ffn.h"

namespace gw::inline experts {
namespace {

/// Two-layer perceptrons, plain or gated (GLU), through the fused kernel.
/// `activation` is one of docs/activations.md. Parameters that its paper learns are learned, one set for each
/// expert, from the values in its text; `learn_activation` = false holds them there.
/// Math:   y = act(x W1ᵀ + b1) W2ᵀ + b2, or with glu (act(x Wgᵀ + bg) ∘ (x W1ᵀ + b1)) W2ᵀ + b2, per expert;
///         with limit ℓ and up_shift s (act(min(g, ℓ)) ∘ (max(−ℓ, min(u, ℓ)) + s)) W2ᵀ + b2, g and u the two
///         products. GPT-OSS: quick_gelu (x·σ(1.702 x)), ℓ = 7, s = 1.
/// compute = "bf16": rows and weights are rounded to bf16 on the way into the products, whose sums stay f32;
/// the weights, their gradients and the answers are f32, and so are all that an optimizer keeps.
/// Shapes: W1, Wg [E, H, D], W2 [E, O, H]; biases b1, bg [E, H], b2 [E, O]; activation [E, P].
/// Cost:   2·N·H·(D + O) flop (glu: 2·N·H·(2·D + O)), whatever E; see gatewright/ops/moe_ffn.h. compute =
///         "bf16": a copy of all weights a pass besides, and of their gradients.
/// Errors: as gatewright/ops/moe_ffn.h; rows that do not fit the offsets.
/// Source: Shazeer et al. 2017, arXiv 1701.06538; GLU: Shazeer 2020, arXiv 2002.05202.
class MlpBank : public Bank {
 public:
  static constexpr const char* kSummary = "two-layer perceptrons, plain or gated";
  static constexpr const char* kSource =
      "Shazeer et al. 2017, arXiv 1701.06538; Shazeer 2020, arXiv 2002.05202";
  static constexpr BankTraits kTraits{true};
  struct Options : OptionSet {
    int64_t hidden = 0;
    std::string activation = "relu";
    bool glu = false, bias = true, recompute = false, packed = false, learn_activation = true;
    double limit = 0, up_shift = 0;
    std::string weights = "f32", compute = "f32";
    int64_t group = 0;
    void fields(OptionVisitor& v) override {
      v.integer("hidden", hidden, "hidden width H of an expert; 0: four times the input width", 0, 1 << 20);
      v.text(
          "activation", activation,
          "between the two products, with parameters in brackets: relu, \"golu(gamma=2)\"; gatewright list "
          "activations");
      v.flag("learn_activation", learn_activation,
             "learn the activation's parameters, a set for each expert, where its paper does");
      v.flag("glu", glu, "multiply the activated gate product with a second one");
      v.real("limit", limit,
             "glu: the gate product is held below it, the second one between -limit and limit; 0: no limit",
             0, 1e30);
      v.real("up_shift", up_shift, "glu: added to the second product after the limit (GPT-OSS: 1)", -1e30,
             1e30);
      v.flag("bias", bias, "add a bias after each product");
      v.flag("recompute", recompute, "keep no hidden values for the backward pass and compute them again");
      v.flag("packed", packed,
             "keep a second copy of the weights in the order of the kernel, for passes without gradients "
             "inside ops::FrozenParameters");
      v.text("weights", weights,
             "f32 trains; bf16, int8 and int4 hold trained weights for inference (gatewright convert)",
             {"f32", "bf16", "int8", "int4"});
      v.text(
          "compute", compute,
          "bf16: products of rounded copies, weights and gradients stay f32; held weights have their own way",
          {"f32", "bf16"});
      v.integer("group", group, "int8, int4: inputs that share a scale, a multiple of 64; 0: a row, or 128",
                0, 1 << 20);
    }
  };

  MlpBank(const Options& options, const Context& context)
      : options_(options), context_(context), activation_("banks/mlp", options.activation) {
    GW_CHECK(options.glu || (options.limit == 0 && options.up_shift == 0),
             "banks/mlp: expected glu = true with limit or up_shift, got glu = false; they hold the factors "
             "of a GLU");
    GW_CHECK(
        !options.packed || options.compute == "f32",
        "banks/mlp: expected packed = false with compute = \"bf16\", got true; copies of copies would be "
        "made anew in every pass");
    const int64_t h = options.hidden > 0 ? options.hidden : 4 * context.in;
    if (options.weights != "f32") {
      held_.emplace(options.weights, options.group,
                    FfnSizes{context.experts, context.in, h, context.out, options.glu, options.bias}, *this);
      return;
    }
    const Rng rng = Rng(context.seed).fork("banks/mlp");
    const auto add = [&](const char* weight, const char* bias, int64_t out, int64_t in) {
      register_parameter(weight, stacked_uniform(rng.fork(weight), context.experts, out, in, context.drawn));
      if (options.bias) register_parameter(bias, at::zeros({context.experts, out}));
    };
    add("w1", "b1", h, context.in), add("w2", "b2", context.out, h);
    if (options.glu) add("wg", "bg", h, context.in);
    if (options.learn_activation && activation_.learned())
      register_parameter("activation",
                         at::tensor(activation_.parameters(), at::kFloat).repeat({context.experts, 1}));
  }

  at::Tensor forward(const at::Tensor& rows, const std::vector<int64_t>& offsets) override {
    check_rows("banks/mlp", rows, offsets, context_);
    return mix(rows, offsets, at::arange(rows.size(0), at::kLong), at::ones({rows.size(0)}, rows.options()));
  }

  at::Tensor mix(const at::Tensor& x, const std::vector<int64_t>& offsets, const at::Tensor& token,
                 const at::Tensor& weight) override {
    const ops::FfnOptions ffn{options_.activation, options_.recompute, options_.limit, options_.up_shift};
    if (held_) return held_->mix(x, token, offsets, weight, ffn);
    const auto w = computed(x);
    return ops::moe_ffn(rounded(x), token, offsets, weight, w, ffn, panels(w)).to(x.scalar_type());
  }

  // By single operations: what the fused kernel is compared with.
  at::Tensor run_one(const at::Tensor& rows, int64_t e) override {
    if (held_) return run_held(rows, e);
    const auto w = computed(rows);
    const auto shape = w.activation.defined() ? w.activation[e] : at::Tensor();
    const auto product = [e](const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
      return ops::linear(x, weight[e], bias.defined() ? bias[e] : bias);
    };
    const auto x = rounded(rows);
    auto up = product(x, w.up, w.up_bias);
    if (w.gate.defined()) {
      auto gate = product(x, w.gate, w.gate_bias);
      if (options_.limit > 0)
        gate = gate.clamp_max(options_.limit), up = up.clamp(-options_.limit, options_.limit);
      if (options_.up_shift != 0) up = up + options_.up_shift;
      up = ops::activation(gate, activation_, shape) * up;
    } else {
      up = ops::activation(up, activation_, shape);
    }
    return product(up, w.down, w.down_bias).to(rows.scalar_type());
  }

  at::Tensor like() const override { return held_ ? at::Tensor() : Bank::like(); }

  void take(Bank& trained) override {
    auto* other = dynamic_cast<MlpBank*>(&trained);
    GW_CHECK(
        held_.has_value() && other != nullptr && !other->held_,
        "banks/mlp: expected weights = bf16, int8 or int4 here and a trained banks/mlp of f32, got others");
    held_->take(other->current());
  }

  void keep(ops::CodedFfn codes) override {
    held_.emplace(std::move(codes), current());
    for (auto& p : parameters_) p.value().set_data(at::empty({0}, p.value().options()));
  }
  int64_t kept_bytes() const override { return held_ ? held_->kept_bytes() : 0; }

  using torch::nn::Module::to;
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking) override {
    if (!held_) Bank::to(device, dtype, non_blocking);  // codes and their scales have the type of their form
  }
  void to(torch::Dtype dtype, bool non_blocking) override {
    if (!held_) Bank::to(dtype, non_blocking);
  }

 private:
  at::Tensor run_held(const at::Tensor& rows, int64_t e) {
    std::vector<int64_t> offsets(static_cast<size_t>(context_.experts) + 1, 0);
    for (size_t i = static_cast<size_t>(e) + 1; i < offsets.size(); ++i) offsets[i] = rows.size(0);
    return mix(rows, offsets, at::arange(rows.size(0), at::kLong), at::ones({rows.size(0)}, rows.options()));
  }

  ops::FfnWeights current() const { return named_weights(parameters_); }

  bool narrows(const at::Tensor& x) const {
    return options_.compute == "bf16" && x.scalar_type() == at::kFloat;
  }
  at::Tensor rounded(const at::Tensor& x) const { return narrows(x) ? x.to(at::kBFloat16) : x; }

  // What enters the products.
  ops::FfnWeights computed(const at::Tensor& x) const { return narrows(x) ? in_bf16(current()) : current(); }

  // Only where the weights are stated to be constant: elsewhere they would have to be read once more per pass
  // to know that the panels still hold, which takes longer than panels save (docs/performance.md), and
  // weights read as they lie give the same bits.
  ops::PackedFfn panels(const ops::FfnWeights& w) {
    if (!options_.packed || at::GradMode::is_enabled() || !ops::FrozenParameters::active()) return {};
    const auto level = ops::moe_ffn_level(w.up.scalar_type());
    auto kept = packed_.get({w.gate, w.up, w.down}, [&] { return ops::pack_ffn(w); });
    return kept.level == level ? kept : ops::PackedFfn{};  // another level since: forced in between
  }

  Options options_;
  Context context_;
  ops::ActivationFunction activation_;
  ops::Kept<ops::PackedFfn> packed_;
  std::optional<HeldFfn> held_;  ///< of weights other than f32
};

}  // namespace
}  // namespace gw::inline experts

GW_REGISTER(gw::Bank, gw::MlpBank);
