#pragma once
// A dense perceptron that is corrected in each of its products.
#include "gatewright/base/json.h"
#include "gatewright/experts/bank.h"
#include "gatewright/language/blocks/decisions.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/activation_function.h"

namespace gw::inline language {

/// Math:   u = W1 x + A1(x), g = Wg x + Ag(x); y = W2 h + A2(h), h = act(g) ∘ u, or act(u) without a gate;
/// each
///         A a mixture of adapters (gatewright/models/adapted_linear.h), which alone is trained.
/// Shapes: x [T, D] → [T, O]. Cost: single products of the dense weights, without the fused kernel.
/// Source: Liu and Luo 2024, arXiv 2405.00361.
class AdaptedPerceptron : public torch::nn::Module {
 public:
  /// `dense`: banks/mlp of one expert, whose weights are read at every pass. `adapters`: as make_adapters.
  AdaptedPerceptron(const std::shared_ptr<Bank>& dense, const std::string& activation, const Json& adapters,
                    const Rng& rng, const std::string& site);
  at::Tensor forward(const at::Tensor& x, Decisions& decisions) const;
  void end_step();

 private:
  struct Product {
    std::shared_ptr<Mixture> adapters;
    std::string site;
  };
  static at::Tensor product(const Product& of, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, Decisions& decisions);

  std::shared_ptr<Bank> dense_;  ///< a module of its owner
  ops::ActivationFunction activation_;
  Product up_, gate_, down_;
};

}  // namespace gw::inline language
