// The catalogue: every activation is a struct with
//   kInfo                      what is said about it
//   at(x, p)                   value and derivative, stable wherever x is finite, without a branch where a
//                              level is to make vectors of it
//   by(x, p, d)                derivatives by its parameters, where a paper learns them
//   bend(x)                    the second derivative, where the statistics floor needs it exactly
// and is named in the list at the end of its family's file. Included inside a level's unnamed namespace after
// its numbers.
template <class... U>
struct Units {};
template <class... A, class... B>
constexpr Units<A..., B...> operator+(Units<A...>, Units<B...>) {
  return {};
}

template <class S>
inline S abs_of(S x) {
  return x < 0 ? -x : x;
}
template <class S>
inline S held(S x, S lo, S hi) {  // a NaN stays one
  return x < lo ? lo : (x > hi ? hi : x);
}
// The branch that does not overflow; both sides keep their relative accuracy.
template <class S>
inline S sigmoid_of(S x) {
  const S e = exp_of(-abs_of(x)), below = e / (1 + e), above = 1 / (1 + e);
  return x >= 0 ? above : (x < 0 ? below : x);
}
template <class S>
inline S softplus_of(S x) {
  return (x > 0 ? x : S(0)) + log1p_of(exp_of(-abs_of(x)));
}
// atan(x)/π + 1/2 and its derivative; beyond 1 by the reciprocal, so that the left tail keeps its digits.
template <class S>
inline S arctan_gate_of(S x, S& slope) {
  constexpr S share = S(0.31830988618379067154);
  const S m = abs_of(x), tail = share * atan_of(1 / (m > 1 ? m : S(1))),
          near = share * atan_of(held(x, S(-1), S(1)));
  slope = share / (1 + x * x);
  return m > 1 ? (x > 0 ? 1 - tail : tail) : near + S(0.5);
}
// √(2π) as the root of the rounded 2π, whose last digit the fitted models of the statistics floor have.
constexpr double kRootTwoPi = 2.5066282746310002, kTwoOverRootPi = 1.12837916709551257390;

#include "gatewright/kernels/activations/relu.inl"
#include "gatewright/kernels/activations/exponential.inl"
#include "gatewright/kernels/activations/squashing.inl"
#include "gatewright/kernels/activations/self_gated.inl"
#include "gatewright/kernels/activations/expanded.inl"
#include "gatewright/kernels/activations/learned.inl"
#include "gatewright/kernels/activations/periodic.inl"
#include "gatewright/kernels/activations/searched.inl"
#include "gatewright/kernels/activations/mittag_leffler.inl"

using AllUnits = decltype(ReluUnits{} + ExponentialUnits{} + SquashingUnits{} + SelfGatedUnits{} +
                          ExpandedUnits{} + LearnedUnits{} + PeriodicUnits{} + SearchedUnits{} +
                          MittagLefflerUnits{});
