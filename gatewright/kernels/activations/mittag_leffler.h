#pragma once
// The two-parameter Mittag-Leffler function. Portable code.

namespace gw::kernels {

/// E_{a,b}(z) = Σ_k z^k / Γ(a·k + b), and its derivatives.
struct MittagLeffler {
  double f = 0, by_z = 0, by_a = 0, by_b = 0;
};

/// For z ≥ 0: any a in (0, 2], b > 0; for z < 0: a in (0, 1]; a = 0 is 1/((1 − z)·Γ(b)), without derivatives
/// by a and b.
/// Math:  z < 0: e^s·s^(a−b)/(s^a − z) summed over 28 points of a parabola around the negative axis, an
///        inverse Laplace transform (Weideman and Trefethen 2007); 0 ≤ z^(1/a) ≤ 40: the series; beyond:
///        z^((1−b)/a)·e^(z^(1/a))/a, whose error is below e^-40 of it.
/// Error: 2e-13 of max(1, |E|) for a in [0.1, 1] and b in [a, 4]; f is infinite where it overflows.
/// Cost:  0.1 µs a value for z < 0 while a and b stay the same; 1 µs for z > 0 up to z^(1/a) = 4, more
///        beyond.
MittagLeffler mittag_leffler(double a, double b, double z);

}  // namespace gw::kernels
