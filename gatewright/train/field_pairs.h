#pragma once
// Which columns of a table act together in a model's answers.
#include <functional>

#include "gatewright/data/dataset.h"
#include "gatewright/models/model.h"
#include "gatewright/train/curve.h"

namespace gw::inline train {

/// Two fields of a table.
struct FieldPair {
  int64_t a = 0, b = 0;  ///< places among the fields, a < b
  double together = 0;   ///< what they do together, root mean square in units of the answer
  double attention = 0;  ///< how much each looks at the other, mean of both ways; nan: the model says nothing
};

/// Pairs of fields by what they do together, most first.
/// Math:   for rows r and a shuffled row r' of each: f(r) − f(r with a of r') − f(r with b of r') + f(r with
///         both of r'), which is 0 for every row where the answer is a sum of one term without a and one
///         without b; root of its mean square over rows and columns of the answer. Of several columns
///         (logits) the mean over the columns is taken off first: it changes no class.
/// Attention comes from the answers to the rows as they are (Output::attention).
/// Shapes: x [n, D] rows of a test; the first `most` rows of a random order count.
/// Errors: ValueError for fewer than 2 fields. More than 32 fields: those 32 whose own shuffle moves the
///         answer most.
/// Cost:   1 + F + F·(F − 1)/2 passes of min(n, most) rows, F the fields, 32 at most.
/// Source: the mixed difference behind the H statistic of Friedman and Popescu 2008, arXiv 0811.1679.
std::vector<FieldPair> field_pairs(const std::function<Output(const at::Tensor& x)>& answer,
                                   const at::Tensor& x, const std::vector<InputField>& fields, int64_t most,
                                   const Rng& rng);

/// What a model says of rows in evaluation, 1024 at once; `draws` are those of its gates. Attention is the
/// mean over the rows.
std::function<Output(const at::Tensor& x)> answering(Model& model, const Rng& draws);

/// A row for each of the first `most` pairs: "together", and "attention" where it is known.
ValueTable pair_table(const std::vector<FieldPair>& pairs, const std::vector<InputField>& fields,
                      size_t most);

/// The share of `known` among as many first pairs, by what they do together or by attention; nan without
/// known pairs, and by attention where the model says nothing.
double pairs_found(std::vector<FieldPair> pairs, const std::vector<std::pair<int64_t, int64_t>>& known,
                   bool by_attention);

}  // namespace gw::inline train
