#include <ATen/ATen.h>

#include <cmath>

#include "base/registry.h"
#include "ops/conv.h"
#include "ops/random.h"
#include "routing/gate.h"

namespace gw {
namespace {

/// Linear scores under a learned temperature, optionally through a bounded nonlinearity first.
/// Math:   s_e = a(⟨w_e, x⟩) / τ + b_e, τ = exp(ρ) learned, one for all experts; a = identity, tanh, sigmoid or gelu.
/// Shapes: x [T, D] → [T, E].
/// Source: Nguyen et al. 2024, arXiv 2401.13875: with a = identity ("none") scaling (w, τ) together changes nothing, so τ is not
///         identified; with a nonlinear a it is. Nie et al. 2021, arXiv 2112.14397 anneal τ instead: learn = false and set it.
class DenseToSparse : public Gate {
 public:
  static constexpr const char* kSummary = "linear scores over a learned temperature, with or without an activation";
  static constexpr const char* kSource = "Nguyen et al. 2024, arXiv 2401.13875";
  struct Options : OptionSet {
    std::string activation = "tanh";
    double temperature = 1, init_scale = 1;
    bool learn = true;
    void fields(OptionVisitor& v) override {
      v.text("activation", activation, "between the product and the temperature", {"none", "tanh", "sigmoid", "gelu"});
      v.real("temperature", temperature, "initial temperature", 1e-3, 1e3);
      v.real("init_scale", init_scale, "standard deviation of the initial weights times sqrt(D)", 0, 100);
      v.flag("learn", learn, "the temperature is a parameter, not a constant");
    }
  };

  DenseToSparse(const Options& options, const Context& context) : activation_(options.activation), width_(context.width) {
    const Rng rng = Rng(context.seed).fork("gates/dense_to_sparse");
    const double deviation = options.init_scale / std::sqrt(static_cast<double>(width_));
    weight_ = register_parameter("weight", ops::normal(rng, {context.experts, width_}, 0, deviation));
    bias_ = register_parameter("bias", at::zeros({context.experts}));
    const auto rho = at::full({1}, std::log(options.temperature));
    log_temperature_ = options.learn ? register_parameter("log_temperature", rho) : register_buffer("log_temperature", rho);
  }

  at::Tensor forward(const at::Tensor& x) override {
    check_tokens("gates/dense_to_sparse", x, width_);
    return activated(ops::linear(x, weight_, {})) * (-log_temperature_).exp() + bias_;
  }

 private:
  at::Tensor activated(const at::Tensor& u) const {
    if (activation_ == "tanh") return at::tanh(u);
    if (activation_ == "sigmoid") return at::sigmoid(u);
    return activation_ == "gelu" ? at::gelu(u) : u;
  }

  std::string activation_;
  int64_t width_;
  at::Tensor weight_, bias_, log_temperature_;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Gate, gw::DenseToSparse);
