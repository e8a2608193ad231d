#pragma once
// Whether class responses have a finite maximum: exact, for one expert.
#include <vector>

#include "gatewright/likelihood/design.h"

namespace gw::likelihood {

struct Separation {
  /// None: all coefficients have a finite maximum. Complete: some direction tells every row's class from all
  /// others. Quasi: only those of some rows, and no row is on the wrong side.
  enum class Kind { kNone, kQuasi, kComplete };
  Kind kind = Kind::kNone;
  /// Orthonormal directions that have no finite maximum; coefficients of one expert, class by class
  /// (intercept, slopes), of standardised columns. What is orthogonal to them all has one.
  std::vector<std::vector<double>> directions;
  /// A step after which what is told apart weighs e^-40 of a row, and all else what it did: the limit to
  /// which the likelihood rises.
  std::vector<double> to_limit;
};

/// Math:   δ is a direction of recession where (δ_y - δ_c)·(1, x) >= 0 for every row with weight, its class y
///         and every other class c. By Stiemke's theorem there is none with a strict inequality if and only
///         if 0 is a positive combination of all these contrasts:
///         least squares over combinations with coefficients of at least 1/pairs. A residual that is not 0 is
///         such a δ. The pairs that it tells apart are taken out, and what is left is asked again; in the end
///         the directions are those that the rest does not see.
/// Cost:   like P passes over the rows for P coefficients.
/// Source: Albert and Anderson 1984; Konis 2007 asks a linear programme for the same; Geyer 2009 for what is
///         left.
Separation separation(const MixtureSpec& spec, const Design& design);

}  // namespace gw::likelihood
