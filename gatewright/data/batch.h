#pragma once
// Named tensors with one row per example: what data sets hold, loaders cut and models read.
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gatewright/data/image_source.h"

namespace gw::inline data {

/// In the field "target" of a token that no token of its text follows. libtorch's losses pass over it.
inline constexpr int64_t kNoTarget = -100;
/// In the fields "token" and "source_token" of texts of several lengths: behind a text's end. No model reads
/// it.
inline constexpr int64_t kNoToken = -1;

/// Fields of a set of examples, all with the same number of rows. The names that the parts of this house
/// agree on:
///   image  [n, C, H, W] uint8 (a batch: float32 in [0, 1], channels-last)    label [n] int64 class
///   token  [n, T] int64 ids                                                  target [n, T] int64, what
///   follows each token; kNoTarget: nothing does
///   document [n, T] int64: tokens of one number are one text, and see no other
///   source_token [n, S] int64 ids of a text that "token" is to be about: its translation
///   x      [n, D] float32 inputs of a table, standardised                    y [n] float32, standardised
///   domain [n] int64, where an example comes from (a file, a task)
///   targets [n, T] float32, the answers of a row that has several, column by column as TaskData::targets
///   says: class numbers, or standardised numbers; NaN: missing
///   node   [n] int64, an example's place among the rows of `common`
struct TensorSet {
  std::map<std::string, at::Tensor> fields = {};
  /// What every batch sees whole, whichever rows it has, and which holds no answer: of a graph "x" [V, D] of
  /// all nodes and "edge" [2, m] int64; "target_classes" [T] int64, the classes of each target, 0 for
  /// numbers.
  std::map<std::string, at::Tensor> common = {};
  /// Null, or where the images are: the field "image" then holds their numbers [n] int64, and a loader reads
  /// what a batch wants.
  std::shared_ptr<const ImageSource> images = nullptr;

  bool has(const std::string& name) const { return fields.count(name) > 0; }
  /// Errors: ValueError naming the fields that are there.
  const at::Tensor& at(const std::string& name) const;
  /// The field, undefined where there is none.
  at::Tensor find(const std::string& name) const;
  /// The same of `common`.
  const at::Tensor& whole(const std::string& name) const;
  /// Rows of every field; 0 without fields.
  int64_t size() const;
  /// The same fields at the rows `index` [m] int64, and the same common tensors. Cost: one copy of those
  /// rows.
  TensorSet rows(const at::Tensor& index) const;
  /// The first `count` rows; all where there are no more, or for a count of 0. Cost: one copy of those rows.
  TensorSet first(int64_t count) const;
  /// Errors: ValueError unless all fields are defined and have the same number of rows.
  void check(const char* part) const;
};

/// The rows of sets with the same fields, one after the other; common tensors of the first. Cost: one copy.
TensorSet joined(const std::vector<TensorSet>& sets);

/// One mini-batch. `index` [B] int64: position of every row in the set.
struct Batch : TensorSet {
  at::Tensor index;
};

}  // namespace gw::inline data
