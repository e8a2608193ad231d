#pragma once
// How far a fitted mixing measure is from the true one, when the fit may have more experts than the truth:
// each fitted atom belongs to the cell of its nearest true atom, and a cell that holds m atoms is measured
// with powers that depend on m. These are the losses in which the theory of softmax gates states its rates
// (Nguyen, Nguyen, Ho 2023, arXiv 2305.03288, and the papers after it).
#include <cstdint>
#include <string>
#include <vector>

#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

/// The coordinates of an atom fall into groups; the theory gives each its own power.
enum class GroupKind { kGateSlope, kTemperature, kSlope, kIntercept, kVariance };
const char* name_of(GroupKind kind);

struct Group {
  GroupKind kind;
  std::vector<double> values;
};

/// exp(log_weight) · delta at the coordinates. The first group is the gate's slope.
struct Atom {
  double log_weight = 0;
  std::vector<Group> groups;
};
using MixingMeasure = std::vector<Atom>;

/// The mixing measure of a model: weight exp(b0), atom (b1, [T,] a, b [, sigma²]); a and b in one group per
/// class of a multinomial.
/// Scales enter as variances (Gaussian) or as they are (Laplace, Student).
MixingMeasure mixing_measure(const MixtureSpec& spec, const MixtureParameters& parameters);

/// The smallest order at which m atoms can no longer imitate one: 1, 4, 6 for m = 1, 2, 3, and at least 7
/// from there on (7 is taken).
/// It is the order at which a system of polynomial equations, one for each derivative, has only the trivial
/// solution.
int rbar(int m);

/// Powers by paper and by kind of coordinate; all are 1 in a cell with a single atom.
enum class LossKind {
  kExact,            ///< D1: power 1 everywhere, for fits with as many experts as the truth
  kSoftmaxGaussian,  ///< D2: gate slope and intercept rbar(m), slope and variance rbar(m) / 2
  kActivation,   ///< D of the activation dense-to-sparse gate: 2, but intercept rbar(m), variance rbar(m) / 2
                 ///< (reconstructed)
  kMultinomial,  ///< 2 everywhere
};
LossKind loss_kind(const std::string& name);  ///< "exact", "softmax_gaussian", "activation", "multinomial";
                                              ///< ValueError with the near miss
double loss_power(LossKind kind, GroupKind group, int m);

/// For each fitted atom the index of the nearest true one, by the Euclidean distance of all coordinates. Ties
/// go to the lower index, so that every atom is in one cell.
std::vector<size_t> voronoi_cells(const MixingMeasure& fitted, const MixingMeasure& truth);

/// Errors of one kind of coordinate, largest over the atoms, in cells of one atom and in cells of several.
/// nan where there are none.
/// `weighted`: in cells of several, the mean over a cell's atoms by weight, as the losses count them; largest
/// over such cells. An atom whose weight goes to 0 may be anywhere, and hides there what the others do.
struct CellErrors {
  GroupKind kind;
  double single, multiple, weighted;
};

struct VoronoiResult {
  double loss = 0;
  std::vector<size_t> cells;       ///< of the fitted atoms
  std::vector<double> cell_terms;  ///< contribution of every true atom
  std::vector<CellErrors> errors;
  bool all_covered = false;  ///< every true atom has a fitted one
};

/// The loss. Fitted gates are first moved into the truth's gauge (the density does not change when one vector
/// is added to all gates):
/// the common factor of the weights minimises the weight term, the common shift of the slopes minimises the
/// slope term.
/// `active` > 0: the largest sum over subsets of so many true atoms, for top-k gates. `shift_slopes` false:
/// gates with an activation, whose slopes cannot be moved.
/// Differs from the papers: they move the truth instead, which scales the loss by the fitted weights'
/// arbitrary unit.
/// Errors: InternalError if the measures have different coordinates; ValueError if one is empty.
VoronoiResult voronoi_loss(MixingMeasure fitted, const MixingMeasure& truth, LossKind kind,
                           int64_t active = 0, bool shift_slopes = true);

/// The vector t that minimises sum_i weight_i ‖point_i − t‖^power_i, powers at least 1: a convex problem.
std::vector<double> power_median(const std::vector<std::vector<double>>& points,
                                 const std::vector<double>& weights, const std::vector<double>& powers);

}  // namespace gw::likelihood
