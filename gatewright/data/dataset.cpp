#include "gatewright/data/dataset.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/base/rng.h"

namespace gw::inline data {
namespace {

/// Positions of every class, in file order; one list of all where there are no classes.
std::vector<std::vector<int64_t>> positions_by_class(const char* part, const TensorSet& set,
                                                     int64_t classes) {
  set.check(part);
  if (!set.has("label")) {
    std::vector<int64_t> all(static_cast<size_t>(set.size()));
    std::iota(all.begin(), all.end(), 0);
    return {all};
  }
  const at::Tensor labels = set.at("label").contiguous();
  GW_CHECK(labels.dim() == 1 && labels.scalar_type() == at::kLong,
           "{}: expected labels [n] of type int64, got something else", part);
  std::vector<std::vector<int64_t>> positions(static_cast<size_t>(std::max<int64_t>(classes, 0)));
  const auto* label = labels.data_ptr<int64_t>();
  for (int64_t i = 0; i < set.size(); ++i) {
    GW_CHECK(label[i] >= 0 && label[i] < classes, "{}: expected labels below {}, got {} at example {}", part,
             classes, label[i], i);
    positions[static_cast<size_t>(label[i])].push_back(i);
  }
  return positions;
}

/// The examples at `positions`, in file order.
TensorSet select(const TensorSet& set, std::vector<int64_t> positions) {
  std::sort(positions.begin(), positions.end());
  const at::Tensor index =
      at::from_blob(positions.data(), {static_cast<int64_t>(positions.size())}, at::kLong);
  return set.rows(index);
}

}  // namespace

TensorSet labelled_images(const at::Tensor& images, const at::Tensor& labels) {
  return {{{"image", images}, {"label", labels}}};
}

TensorSet take_per_class(const TensorSet& set, int64_t classes, int64_t count) {
  GW_CHECK(count >= 0, "take_per_class: expected a count of at least 0, got {}", count);
  const auto positions = positions_by_class("take_per_class", set, classes);
  if (count == 0) return set;
  GW_CHECK(set.has("label"),
           "take_per_class: expected labels, of which {} examples each are to be taken, got a set without",
           count);
  std::vector<int64_t> chosen;
  for (size_t label = 0; label < positions.size(); ++label) {
    const auto have = static_cast<int64_t>(positions[label].size());
    GW_CHECK(
        have >= count,
        "take_per_class: expected at least {} examples of every class, got {} of class {}; ask for fewer",
        count, have, label);
    chosen.insert(chosen.end(), positions[label].begin(), positions[label].begin() + count);
  }
  return select(set, std::move(chosen));
}

TrainValidation split_validation(const TensorSet& set, int64_t classes, double fraction, uint64_t seed) {
  GW_CHECK(fraction >= 0 && fraction < 1, "split_validation: expected a fraction in [0, 1), got {:g}",
           fraction);
  const auto positions = positions_by_class("split_validation", set, classes);
  std::vector<int64_t> train, validation;
  for (size_t label = 0; label < positions.size(); ++label) {
    const auto& all = positions[label];
    const auto count = static_cast<int64_t>(all.size());
    const auto order = Rng(seed).fork("validation", label).permutation(count);
    const int64_t kept = count - static_cast<int64_t>(std::floor(fraction * static_cast<double>(count) +
                                                                 1e-9));  // 0.1 · 30 is 3, not 2
    for (int64_t i = 0; i < count; ++i)
      (i < kept ? train : validation).push_back(all[static_cast<size_t>(order[static_cast<size_t>(i)])]);
  }
  GW_CHECK(fraction == 0 || !validation.empty(),
           "split_validation: expected a fraction \"validation\" that holds an example of some class, got "
           "{:g} of {} examples in {} classes; "
           "raise \"validation\", or set it to 0 for none",
           fraction, set.size(), classes);
  return {select(set, std::move(train)), select(set, std::move(validation))};
}

}  // namespace gw::inline data
