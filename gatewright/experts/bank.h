#pragma once
#include <torch/nn/module.h>

#include "gatewright/base/error.h"
#include "gatewright/base/options.h"
#include "gatewright/ops/coded.h"

namespace gw::inline experts {

/// A bank of E experts held as stacked weights; runs rows that are sorted by expert.
class Bank : public torch::nn::Module {
 public:
  static constexpr const char* kKind = "banks";
  struct Context {
    int64_t experts = 2;
    int64_t in = 0, out = 0;  ///< D of rows in and out, or channels of maps (of one expert)
    uint64_t seed = 0;        ///< of the initial weights
    bool drawn = true;        ///< false: memory that a checkpoint will fill
  };
  /// Shapes: rows [N, in] or [N, in, H, W] sorted by expert, offsets [E+1] → [N, out(, H', W')].
  /// Errors: ValueError for shapes that do not fit. Empty experts are skipped; their gradient is exactly
  ///         zero.
  virtual at::Tensor forward(const at::Tensor& rows, const std::vector<int64_t>& offsets) = 0;
  /// Gather, experts, weighted scatter: y_t = Σ_{r: token_r = t} weight_r · expert(x_t). Banks with a fused
  /// kernel override it.
  /// Shapes: x [T, in] or [T, in, H, W]; offsets [E+1], token [N] and weight [N] as in a routing plan → [T,
  ///         out(, H', W')]; tokens without rows: zero.
  virtual at::Tensor mix(const at::Tensor& x, const std::vector<int64_t>& offsets, const at::Tensor& token,
                         const at::Tensor& weight);
  /// The same through one expert only: the reference of the tests, and forced pathways.
  virtual at::Tensor run_one(const at::Tensor& rows, int64_t expert) = 0;
  /// A tensor whose type rows must have; undefined: any real type, answers come in that of the rows.
  virtual at::Tensor like() const;
  /// Takes over the weights of a trained bank of the same sizes, in the form that this bank holds them in.
  /// Errors: ValueError naming what differs; by default for a bank that holds no other form.
  virtual void take(Bank& trained);
  /// Multiplies from these codes of a file instead of its weights, which are given up; biases stay those that
  /// it has. For inference. Errors: ValueError for codes of other sizes, and by default for every bank.
  virtual void keep(ops::CodedFfn codes);
  /// Of what keep() was given, and of the biases.
  virtual int64_t kept_bytes() const { return 0; }
};

/// factor [N] in the type of rows [N, …], shaped to multiply each row.
at::Tensor per_row(const at::Tensor& factor, const at::Tensor& rows);
/// y [tokens, …]: y_t = Σ_{r: token_r = t} weight_r · rows_r.
at::Tensor scatter_rows(const at::Tensor& rows, const at::Tensor& token, const at::Tensor& weight,
                        int64_t tokens);

/// forward() of a bank whose experts run one by one: run_one() of every expert that has rows [N, in] → [N,
/// out].
at::Tensor run_each(Bank& bank, const at::Tensor& rows, const std::vector<int64_t>& offsets, int64_t out);

/// Shared checks of every bank: offsets monotone from 0 to N over E experts, row width `in`.
void check_rows(const char* part, const at::Tensor& rows, const std::vector<int64_t>& offsets,
                const Bank::Context& context);

}  // namespace gw::inline experts
