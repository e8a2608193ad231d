#pragma once
// Rotary position embedding and how it is stretched to longer texts.
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "gatewright/base/options.h"

namespace gw::inline language {

/// `scaling` none, linear, llama3, yarn or longrope, with the fields that checkpoints give it.
struct RotaryOptions : OptionSet {
  double base = 10000;
  bool interleaved = false;
  std::string scaling = "none";
  double factor = 1;
  int64_t original = 0;
  double low = 1, high = 4;
  double beta_fast = 32, beta_slow = 1;
  bool truncate = true;
  double attention = 0;
  double mscale = 0, mscale_all = 0;
  std::vector<double> short_factor, long_factor;
  double short_attention = 0, long_attention = 0;
  void fields(OptionVisitor& v) override;
};

/// Rotates pairs of a head's values by an angle that grows with the token's position.
/// Math:   pair j of D / 2 turns by position·f_j, f_j = base^(−2j/D); a pair is (x_j, x_{j+D/2}), or with
///         `interleaved` (x_{2j}, x_{2j+1}). Both results are multiplied by `attention`.
///         linear: f / factor. llama3: waves longer than original / low are divided by the factor, shorter
///         than original / high stay, between them both are blended. yarn: the same by the number of turns in
///         the original length (beta_fast, beta_slow), attention 0.1·ln(factor) + 1 unless given. longrope: a
///         divisor for each f_j, from one list up to the original length and from another beyond.
/// Source: Su et al. 2021, arXiv 2104.09864; Peng et al. 2023, arXiv 2309.00071 (yarn); Ding et al. 2024,
///         arXiv 2402.13753 (longrope); the Llama 3.1 release (llama3).
class Rotary {
 public:
  /// Errors: ValueError for an odd width, an unknown scaling, lists of another length than width / 2.
  Rotary(int64_t width, const RotaryOptions& options);

  /// cos and sin [N, width / 2] in f32 of these positions [N] int64. `length`: of the text so far, which
  /// chooses longrope's list.
  struct Angles {
    at::Tensor cos, sin;
  };
  Angles angles(const at::Tensor& position, int64_t length) const;
  /// x [N, H, width] of any floating type, turned in f32 and rounded back. Differentiable.
  at::Tensor rotate(const at::Tensor& x, const Angles& angles) const;
  /// yarn with mscale_all: what DeepSeek's attention multiplies its scale with, squared already; else 1.
  double score_scale() const;

 private:
  /// Without gradients: no tensor between the steps.
  at::Tensor by_rows(const at::Tensor& x, const Angles& angles) const;
  void stretch();
  void stretch_llama3();
  void stretch_yarn();
  void stretch_longrope();

  int64_t width_;
  RotaryOptions options_;
  std::vector<double> frequency_, beyond_;  ///< beyond_: past the original length; empty: the same
  double attention_ = 1, attention_beyond_ = 1;
};

}  // namespace gw::inline language
