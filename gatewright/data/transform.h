#pragma once
#include <map>

#include "gatewright/base/rng.h"
#include "gatewright/data/dataset.h"

namespace gw::inline data {

/// Further test sets by the metric that they give: the share of their examples that gets its label. "source"
/// [n] int64 among their fields: the row of the test that an example was made of.
using Probes = std::map<std::string, TensorSet>;

/// Catalogue of what is done to data after they are read and cut to size, before validation examples are held
/// out (`gatewright/data/transforms/`): transforms = [{part = "patch_poison", share = 0.01}] in a recipe, in
/// that order.
class Transform {
 public:
  static constexpr const char* kKind = "transforms";
  struct Context {
    Rng rng{0};  ///< of the run's seed and the transform's place in the list
  };
  virtual ~Transform() = default;
  /// Errors: ValueError for data that it cannot work on.
  virtual TaskData apply(TaskData data) const = 0;
  /// What a training on such data measures beside the test, and the names of that, known without data.
  virtual Probes probes(const TensorSet& /*test*/) const { return {}; }
  virtual std::vector<std::string> probe_names() const { return {}; }
};

}  // namespace gw::inline data
