#pragma once
// People who use a trained network: each sees other images than everybody.
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/data/dataset.h"

namespace gw::inline data {

/// How users differ from everybody. A user's angles and thinning are fixed: a way of writing, a camera.
struct UserOptions : OptionSet {
  int64_t users = 10, train = 200, test = 500;
  double rotation = 0, shear = 0, thinning = 0;
  int64_t favourites = 0;
  double skew = 0.9;
  void fields(OptionVisitor& v) override;
};

/// One of them.
struct User {
  TensorSet train, test;           ///< disjoint images of the pool, as this user sees them
  double rotation = 0, shear = 0;  ///< degrees
  bool thin = false;
  std::vector<int64_t> favourites;  ///< classes; empty: all alike
};

/// User `number` of a seed: draws images from the pool and distorts them. Rotation and shear lie between half
/// of the largest angle and all of it, either way; `thinning` is the chance that strokes are thinned (the
/// least of 3 x 3 pixels). Of the images the share `skew` is of `favourites` classes, drawn for each user, as
/// far as the pool has them. Users of one pool may share images; each sees them in a way of its own.
/// Shapes: pool with "image" [n, C, H, W] uint8 and "label" [n].
/// Errors: ValueError for a pool without images and labels or of fewer images than the user has, and for
///         more favourites than classes.
User make_user(const TensorSet& pool, int64_t classes, const UserOptions& options, const Rng& rng,
               int64_t number);

/// The same with these favourites in place of drawn ones. Errors: also ValueError for a class that is none.
User make_user(const TensorSet& pool, int64_t classes, const UserOptions& options, const Rng& rng,
               int64_t number, const std::vector<int64_t>& favourites);

/// Images turned and sheared about their middle, bilinear, black outside.
/// Shapes: [n, C, H, W] uint8 → the same. Math: each pixel takes the value at R(rotation)·S(tan shear)·place.
at::Tensor distorted(const at::Tensor& images, double rotation_degrees, double shear_degrees);

}  // namespace gw::inline data
