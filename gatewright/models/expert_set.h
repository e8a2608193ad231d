#pragma once
// Experts that all answer: a set of small networks over the same rows, with the normalisation and the feature
// gate of multi-task mixtures.
#include <torch/nn/module.h>

#include "gatewright/base/rng.h"
#include "gatewright/ops/activation_function.h"

namespace gw::inline models {

/// Options of every set of a model.
struct ExpertForm {
  int64_t hidden = 0, width = 32;  ///< hidden 0: one layer
  ops::ActivationFunction activation{"experts", "relu"};
  bool norm = false;             ///< batch normalisation between the last layer and its activation
  int64_t pieces = 0, rank = 1;  ///< of the feature gate; 0 pieces: none
};

/// `count` experts over rows [B, in].
/// Math:   expert e: u_e = x ∘ F_e(x); E_e(x) = f(norm(W2_e f(W1_e u_e + b1_e) + b2_e)), one layer where
///         hidden = 0. The feature gate F_e(x) = Σ_l g_el(x) · 2σ((x B_el) A_el) with B [in, rank], A [rank,
///         in] and g_e = softmax(x G_e) over the pieces; A = 0 at first, so that F = 1. The norm is over the
///         batch, value by value of each expert.
/// Shapes: x [B, in] → one [B, width] for each expert.
/// Errors: ValueError for other shapes, and for a training pass of one row with `norm`.
/// Cost:   multiply-adds of a row: count · (in·hidden + hidden·width), or count · in·width; the feature gate
///         adds count · pieces · in · (2·rank + 1).
/// Source: norm and feature gate as in HoME (Wang et al. 2024, arXiv 2408.05430), whose code is not public:
///         reconstructed from its description.
class ExpertSet : public torch::nn::Module {
 public:
  ExpertSet(int64_t count, int64_t in, const ExpertForm& form, const Rng& rng);
  std::vector<at::Tensor> forward(const at::Tensor& x, bool train);
  int64_t count() const { return static_cast<int64_t>(experts_.size()); }
  /// F_e(x) [B, in]; undefined without feature gates.
  at::Tensor feature_gate(int64_t expert, const at::Tensor& x) const;

 private:
  struct Expert {
    std::vector<at::Tensor> weight, bias;  ///< by layer
    at::Tensor low, high, pieces;          ///< B [pieces·rank, in], A [pieces, rank, in], G [pieces, in]
    at::Tensor gamma, beta, mean, var;
  };
  at::Tensor own(const std::string& name, at::Tensor value, bool trained = true);
  Expert make(int64_t index, const Rng& rng);

  int64_t in_;
  ExpertForm form_;
  std::vector<Expert> experts_;
};

}  // namespace gw::inline models
