#pragma once
// Labels shared out among the experts of an image-level router.
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "gatewright/base/options.h"

namespace gw::inline train {

/// The labels of each group; group e is expert e's.
using LabelGroups = std::vector<std::vector<int64_t>>;

/// [[5, 7], [0, 1, …]] as a recipe has it. `part` is what errors name.
/// Errors: ValueError unless the groups hold every label from 0 to their largest once, and none is empty.
LabelGroups read_label_groups(const std::string& part, const Json& groups);
/// Errors: ValueError unless there are as many groups as experts and as many labels in them as classes.
void check_label_groups(const std::string& part, const LabelGroups& groups, int64_t classes, int64_t experts);

/// The group of each label, [labels] int64.
at::Tensor group_of_labels(const LabelGroups& groups);
/// Weights of a loss over groups under which each counts as much, of mean 1 over labels: labels / (groups ·
/// size). [groups] f64.
at::Tensor group_weights(const LabelGroups& groups);

/// Groups of labels that are mistaken for each other: what a group keeps together, an attack that changes the
/// route cannot use.
/// Math:   maximise Σ_g Σ_{i<j in g} (C_ij / C_i· + C_ji / C_j·), C_i· the row's sum, over partitions into
///         `count` groups of ⌊L/count⌋ − slack … ⌈L/count⌉ + slack labels (at least 1).
/// Shapes: confusion [L, L], rows the true labels, columns the answers; counts or shares, the diagonal is
/// only
///         part of the row's sum. A row without images is confused with none.
/// Exact up to 12 labels (every partition that its bound does not exclude); beyond, the best of greedy
/// starts from every label, improved by moves and swaps until none helps.
/// Groups ascend by their smallest label, and so do the labels of each; ties go to the partition that is
/// first in that order. Errors: ValueError for a matrix that is not square, negative or not finite, fewer
/// than 2 groups, or more
///         groups than labels.
/// Cost:   at most S(12, count) partitions, 1.4 million for 5 groups of any size; beyond 12 labels
///         O(L³ · rounds) for each start.
LabelGroups group_by_confusion(const at::Tensor& confusion, int64_t count, int64_t slack);

}  // namespace gw::inline train
