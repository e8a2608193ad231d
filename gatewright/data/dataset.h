#pragma once
// Data in memory, as the readers return them.
#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/base/options.h"
#include "gatewright/data/batch.h"

namespace gw::inline data {

/// One of several answers that a row has.
struct TargetColumn {
  std::string name;
  std::vector<std::string> class_names;  ///< empty: a number
  double scale = 1;                      ///< one unit of a number in units of the file
};

/// A column of a table as it stands in the field "x": a number with what marks its missing cells, or a factor
/// as columns of 0 and 1.
struct InputField {
  std::string name;
  int64_t first = 0, width = 1;  ///< columns of "x"
  bool number = false;           ///< the first of them is a number
};

/// A data set with its split; held-out validation examples are cut from `train`, never from `test`.
struct TaskData {
  TensorSet train, test;
  int64_t classes = 0;  ///< of the field "label"; 0 without one
  std::vector<std::string> class_names;
  int64_t vocabulary = 0;                 ///< ids of the field "token" lie below it; 0 without one
  std::vector<std::string> domain_names;  ///< of the field "domain"
  double y_scale = 1;                     ///< one unit of the field "y" in units of the file
  std::vector<TargetColumn> targets;      ///< the columns of the field "targets"
  std::vector<int64_t> numeric;    ///< columns of the field "x" that are numbers; the others are 0 or 1
  std::vector<InputField> fields;  ///< of the field "x", in order; empty: not said
  /// Pairs of places in `fields` that are known to act together, of made tables.
  std::vector<std::pair<int64_t, int64_t>> known_pairs;
  Json encoding = nullptr;  ///< how a table became "x" (data/table_encoding.h); null: not said
  std::string origin;       ///< where the files were found
};

/// Catalogue of data sets (`gatewright/data/datasets/`).
class Dataset {
 public:
  static constexpr const char* kKind = "datasets";
  struct Context {};
  virtual ~Dataset() = default;
  /// Errors: IoError naming the file and how to get it; ValueError for malformed content.
  virtual TaskData load() = 0;
  /// Empty when the files are there; otherwise one line that says how to get them. For `gatewright doctor`.
  virtual std::string missing() = 0;
  /// Names of the columns of the field "targets", known without the files; empty without that field.
  virtual std::vector<std::string> targets() const { return {}; }
};

/// Images [n, C, H, W] uint8 with labels [n] int64.
TensorSet labelled_images(const at::Tensor& images, const at::Tensor& labels);

/// The first `count` examples of every class in file order (count 0: all), so that subsets are balanced and
/// reproducible.
/// Errors: ValueError without labels, or if a class has fewer examples than asked.
TensorSet take_per_class(const TensorSet& set, int64_t classes, int64_t count);

/// Splits off `fraction` of every class (the last ones of a seeded permutation) for validation; without
/// classes, of all examples.
struct TrainValidation {
  TensorSet train, validation;
};
TrainValidation split_validation(const TensorSet& set, int64_t classes, double fraction, uint64_t seed);

}  // namespace gw::inline data
