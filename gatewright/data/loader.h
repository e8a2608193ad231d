#pragma once
#include <memory>

#include "gatewright/base/rng.h"
#include "gatewright/data/dataset.h"

namespace gw::inline data {

struct AugmentOptions : OptionSet {
  int64_t pad = 0;    ///< zero padding before a random crop back to the size, in pixels
  bool flip = false;  ///< horizontal flip with probability one half
  void fields(OptionVisitor& v) override {
    v.integer("pad", pad, "zero padding before a random crop, in pixels", 0, 64);
    v.flag("flip", flip, "horizontal flip with probability one half");
  }
};

/// Batches of a set in an order that is a pure function of (rng, epoch): resuming at any step needs no saved
/// state.
/// A field "image" becomes float32 in [0, 1], channels-last, augmented; every other field is cut as it is.
/// Augmentation is drawn per image from (rng, epoch, position in the set): neither the batch size nor the
/// threads change a bit.
/// Images that stay in files (TensorSet::images) are read by all threads when their batch is asked for, and
/// those of the next batch meanwhile, by one thread of its own. Threads may share a loader.
/// Cost:   one pass over the rows; the order of the present epoch is kept (8 bytes per example).
class Loader {
 public:
  /// Errors: ValueError for batch < 1, an empty set, images that are not uint8 [n, C, H, W], augmentation
  ///         without images.
  Loader(TensorSet set, int64_t batch, AugmentOptions augment, bool shuffle, Rng rng);
  /// Number of batches per epoch; the last one may be smaller, and is dropped when it would hold one example
  /// only while shuffling (batch statistics of one image are degenerate). A set of one example, or batch 1,
  /// keeps all.
  int64_t batches() const;
  int64_t examples() const { return set_.size(); }
  /// Errors: ValueError for epoch < 0 or a batch outside [0, batches()); as ImageSource::read.
  Batch get(int64_t epoch, int64_t batch) const;
  /// The rows of an epoch, in place of those that would be drawn; another epoch than the one asked for last
  /// is drawn again. Errors: ValueError unless they are as many as the set has and all of the set.
  void arrange(int64_t epoch, std::vector<int64_t> rows);

 private:
  struct Order;
  at::Tensor positions(int64_t epoch, int64_t first, int64_t count) const;
  at::Tensor images(const at::Tensor& index, int64_t epoch, int64_t batch) const;
  at::Tensor planes(const at::Tensor& index, int64_t epoch, int64_t batch) const;
  void read_ahead(int64_t epoch, int64_t batch) const;
  TensorSet set_;
  int64_t batch_;
  AugmentOptions augment_;
  bool shuffle_;
  Rng rng_;
  std::shared_ptr<Order> order_;
};

}  // namespace gw::inline data
