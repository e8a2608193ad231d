#pragma once
// Narrow experts that a sample holds by chance. The likelihood of a mixture grows without end as an expert
// narrows around a few rows, and among n rows some always lie close to a common plane: such maxima gain more
// than a criterion charges for an expert, and mean nothing.
#include <vector>

#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

/// Experts narrower than this share of the widest one are suspected; wider ones are regular, and the criteria
/// are made for them.
inline constexpr double kNarrow = 0.125;
/// Above this expected number, an expert is taken to be there by chance.
inline constexpr double kChance = 0.05;

/// How many planes with as many rows as the expert holds, as close to them, are expected where the expert is
/// not.
/// Math:   C(n, p) planes through p rows times n^g places of the gate (g its inputs), each of which has
///         P(Poisson(l) >= mass − p), over the C(mass, p) times that the same plane is counted. l = sum_i r_i
///         · 2 sqrt(3) s · f(m_i | x_i): rows that the other experts put within a band of deviation s around
///         the expert's mean m_i, r_i = gate probability over its largest value, f the density of the mixture
///         without the expert. (Desolneux, Moisan, Morel 2008 call this the number of false alarms.) n and
///         the sum count a row by its weight in units of `row_unit` (rows_per_weight).
/// `mass`: rows that the expert holds. Cost: n · experts densities.
double expected_by_chance(const MixtureSpec& spec, const MixtureParameters& parameters, int64_t expert,
                          double mass, const DataView& data, double row_unit = 1);

/// Experts that are narrow and expected by chance, in order. Empty for families without a scale.
std::vector<int64_t> chance_experts(const MixtureSpec& spec, const MixtureParameters& parameters,
                                    const std::vector<double>& mass, const DataView& data,
                                    double row_unit = 1);

}  // namespace gw::likelihood
