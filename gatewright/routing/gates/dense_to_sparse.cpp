#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/activation.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// Linear scores under a learned temperature, optionally through a bounded nonlinearity first.
/// Math:   s_e = a(⟨w_e, x⟩) / τ + b_e, τ = exp(ρ) learned, one for all experts; a any activation
///         (docs/activations.md), none for the identity; its parameters are constants. With anneal_to > 0, τ
///         falls linearly from `temperature` to it over `anneal_steps` training steps (RouterInputs::step);
///         evaluation keeps the τ of the last training pass, which is saved with the weights.
/// Shapes: x [T, D] → [T, E].
/// Errors: ValueError for annealing a learned τ, and for training without the step where τ falls.
/// Source: Nguyen et al. 2024, arXiv 2401.13875: with a = identity ("none") scaling (w, τ) together changes
///         nothing, so τ is not identified; with a nonlinear a it is. Nie et al. 2021, arXiv 2112.14397
///         (EvoMoE) anneal τ instead.
class DenseToSparse : public Gate {
 public:
  static constexpr const char* kSummary =
      "linear scores over a learned temperature, with or without an activation";
  static constexpr const char* kSource = "Nguyen et al. 2024, arXiv 2401.13875";
  struct Options : OptionSet {
    std::string activation = "tanh";
    double temperature = 1, init_scale = 1, anneal_to = 0;
    int64_t anneal_steps = 1000;
    bool learn = true;
    void fields(OptionVisitor& v) override {
      v.text("activation", activation,
             "between the product and the temperature: none, tanh, \"golu(gamma=2)\"; gatewright list "
             "activations");
      v.real("temperature", temperature, "initial temperature", 1e-3, 1e3);
      v.real("init_scale", init_scale, "standard deviation of the initial weights times sqrt(D)", 0, 100);
      v.flag("learn", learn, "the temperature is a parameter, not a constant");
      v.real("anneal_to", anneal_to, "temperature at the end of annealing; 0: none", 0, 1e3);
      v.integer("anneal_steps", anneal_steps, "training steps that annealing takes", 1, INT64_MAX);
    }
  };

  DenseToSparse(const Options& options, const Context& context)
      : options_(options), width_(context.width), activation_("gates/dense_to_sparse", options.activation) {
    GW_CHECK(options.anneal_to == 0 || !options.learn,
             "gates/dense_to_sparse: expected learn = false with anneal_to, got both");
    GW_CHECK(options.anneal_to == 0 || options.anneal_to >= 1e-3,
             "gates/dense_to_sparse: expected anneal_to >= 0.001, got {}", options.anneal_to);
    const Rng rng = Rng(context.seed).fork("gates/dense_to_sparse");
    const double deviation = options.init_scale / std::sqrt(static_cast<double>(width_));
    weight_ = register_parameter("weight", ops::normal(rng, {context.experts, width_}, 0, deviation));
    bias_ = register_parameter("bias", at::zeros({context.experts}));
    const auto rho = at::full({1}, std::log(options.temperature));
    log_temperature_ =
        options.learn ? register_parameter("log_temperature", rho) : register_buffer("log_temperature", rho);
  }

  at::Tensor score(const at::Tensor& x, const RouterInputs& inputs) override {
    if (options_.anneal_to > 0 && inputs.train.value_or(is_training())) {
      GW_CHECK(inputs.step >= 0,
               "gates/dense_to_sparse: expected the training step, by which the temperature falls, got none; "
               "set RouterInputs::step");
      const double done =
          std::min(1.0, static_cast<double>(inputs.step) / static_cast<double>(options_.anneal_steps));
      const at::NoGradGuard no_grad;
      log_temperature_.fill_(
          std::log(options_.temperature + done * (options_.anneal_to - options_.temperature)));
    }
    return forward(x);
  }

  at::Tensor forward(const at::Tensor& x) override {
    check_tokens("gates/dense_to_sparse", x, width_);
    return ops::activation(ops::linear(x, weight_, {}), activation_) * (-log_temperature_).exp() + bias_;
  }

 private:
  Options options_;
  int64_t width_;
  ops::ActivationFunction activation_;
  at::Tensor weight_, bias_, log_temperature_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::DenseToSparse);
