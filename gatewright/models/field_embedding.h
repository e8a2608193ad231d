#pragma once
// The columns of a row as vectors that can meet: one for each field of a table.
#include <torch/nn/module.h>

#include <memory>

#include "gatewright/data/dataset.h"
#include "gatewright/models/quantile_embedding.h"

namespace gw::inline models {

struct DataSpec;

/// The fields of the data; where they say none, every column of x is one: a number, unless `numeric` names
/// others.
std::vector<InputField> fields_of(const DataSpec& data);

/// A vector of `width` for each of M fields.
/// Math:   e_m = Σ_c x_c·v_c over the columns c of field m: for a factor the row of its level (nothing for a
///         level that training never saw), for a number its value times a vector, and one vector more where
///         its cell was missing. With `bins` > 0 a number enters by a QuantileEmbedding in place of x·v.
/// Shapes: x [B, D] → [B, M, width].
/// Errors: ValueError for fields that are not side by side in x.
/// Cost:   multiply-adds of a row: D·width, with bins numbers·bins·width more.
/// Source: Song et al. 2019, arXiv 1810.11921, eq. 3 and 4; quantiles: Gorishniy et al. 2022, arXiv
///         2203.05556.
class FieldEmbedding : public torch::nn::Module {
 public:
  struct Options {
    int64_t width = 16, bins = 0;
    double deviation = 0.1;  ///< of the initial vectors
  };
  FieldEmbedding(const std::vector<InputField>& fields, int64_t inputs, const Options& options,
                 const Rng& rng);
  at::Tensor forward(const at::Tensor& x) const;
  /// Takes the quantiles of the numbers from training rows [n, D]; nothing without bins.
  void prepare(const at::Tensor& x);
  int64_t fields() const { return static_cast<int64_t>(fields_.size()); }

 private:
  at::Tensor numbers(const at::Tensor& x) const;

  std::vector<InputField> fields_;
  Options options_;
  at::Tensor vectors_;                 ///< [D, width]; those of numbers' values only without bins
  at::Tensor number_columns_, order_;  ///< the numbers' columns, and from pieces to the order of the fields
  at::Tensor flag_columns_, flagged_;  ///< where a number's missing cells are marked, and 0 where nowhere
  std::vector<size_t> factors_;
  std::shared_ptr<QuantileEmbedding> quantiles_;
};

}  // namespace gw::inline models
