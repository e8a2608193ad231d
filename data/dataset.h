#pragma once
// Images in memory, as the readers return them.
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "base/options.h"

namespace gw {

/// Labelled images. Shapes: images [n, C, H, W] uint8, labels [n] int64 in [0, classes).
struct ImageSet {
  at::Tensor images;
  at::Tensor labels;
  int64_t size() const { return labels.defined() ? labels.size(0) : 0; }
};

/// A dataset with its published split; held-out validation images are cut from `train`, never from `test`.
struct ImageData {
  ImageSet train, test;
  int64_t classes = 0;
  std::vector<std::string> class_names;
  std::string origin;  ///< where the files were found
};

/// Catalogue of image datasets (`data/datasets/`).
class Dataset {
 public:
  static constexpr const char* kKind = "datasets";
  struct Context {};
  virtual ~Dataset() = default;
  /// Errors: IoError naming the file and how to get it; ValueError for malformed content.
  virtual ImageData load() = 0;
  /// Empty when the files are there; otherwise one line that says how to get them. For `gatewright doctor`.
  virtual std::string missing() = 0;
};

/// The first `count` images of every class in file order (count 0: all), so that subsets are balanced and reproducible.
/// Errors: ValueError if a class has fewer images than asked.
ImageSet take_per_class(const ImageSet& set, int64_t classes, int64_t count);

/// Splits off `fraction` of every class (the last ones of a seeded permutation) for validation.
struct TrainValidation {
  ImageSet train, validation;
};
TrainValidation split_validation(const ImageSet& set, int64_t classes, double fraction, uint64_t seed);

}  // namespace gw
