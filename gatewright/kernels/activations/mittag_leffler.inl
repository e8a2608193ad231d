// Units on the Mittag-Leffler function E_{a,b}, which is eˣ at a = b = 1 and falls more slowly on the left
// for smaller a. The paper's table of parameters was not found: forms and bounds are a reconstruction from
// its abstract. A parameter that training takes over a bound is reflected there, so that its gradient stays
// alive.
struct MittagLefflerBounds {
  double a, b, a_slope, b_by_a, b_slope;

  MittagLefflerBounds(double raw_a, double raw_b) {
    constexpr double kLeast = 0.1;  // below, E nears 1/(1 − z), and its series for z > 0 has no end
    a_slope = raw_a > 1 || raw_a < kLeast ? -1 : 1;
    a = raw_a > 1 ? 2 - raw_a : (raw_a < kLeast ? 2 * kLeast - raw_a : raw_a);
    a = held(a, kLeast, 1.0);
    const bool above = raw_b >= a;  // b ≥ a: E(−x) is then positive for x > 0
    b = held(above ? raw_b : 2 * a - raw_b, a, 4.0);
    b_slope = above ? 1 : -1, b_by_a = above ? 0 : 2;
  }
};

/// 1/(1 + E_{a,b}(−x)) and its derivatives by x, a and b.
struct MittagLefflerGate4 {
  double f, slope, by_a, by_b;
};
inline MittagLefflerGate4 mittag_leffler_gate(double x, double raw_a, double raw_b) {
  const MittagLefflerBounds p(raw_a, raw_b);
  const auto e = mittag_leffler(p.a, p.b, -x);
  if (e.f > 1e100) return {0, 0, 0, 0};
  const double g = 1 / (1 + e.f), factor = -g * g, by_b = factor * e.by_b;
  return {g, -factor * e.by_z, (factor * e.by_a + by_b * p.b_by_a) * p.a_slope, by_b * p.b_slope};
}

struct MittagLefflerUnit {
  static constexpr UnitInfo kInfo{
      "mittag_leffler",
      "ml_swish",
      "x·G, G = 1/(1 + E_{a,b}(−x)); a in [0.1, 1] and b in [a, 4] learned; x·σ(x) at a = b = 1",
      "G + x·E′(−x)·G²",
      "after Mostafanejad 2023, arXiv 2302.11007 (reconstructed from its abstract)",
      "",
      "scalar",
      {{"a", 1, 0.1, 1, true}, {"b", 1, 0.1, 4, true}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const auto g = mittag_leffler_gate(x, p[0], p[1]);
    return {static_cast<S>(x * g.f), static_cast<S>(g.f + x * g.slope)};
  }
  template <class S>
  static void by(S x, const S* p, S* d) {
    const auto g = mittag_leffler_gate(x, p[0], p[1]);
    d[0] = static_cast<S>(x * g.by_a), d[1] = static_cast<S>(x * g.by_b);
  }
};

struct MittagLefflerGate {
  static constexpr UnitInfo kInfo{
      "mittag_leffler_gate",
      "ml_sigmoid",
      "G = 1/(1 + E_{a,b}(−x)); a in [0.1, 1] and b in [a, 4] learned; σ(x) at a = b = 1",
      "E′(−x)·G²",
      "after Mostafanejad 2023, arXiv 2302.11007 (reconstructed from its abstract)",
      "",
      "bounded,scalar",
      {{"a", 1, 0.1, 1, true}, {"b", 1, 0.1, 4, true}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const auto g = mittag_leffler_gate(x, p[0], p[1]);
    return {static_cast<S>(g.f), static_cast<S>(g.slope)};
  }
  template <class S>
  static void by(S x, const S* p, S* d) {
    const auto g = mittag_leffler_gate(x, p[0], p[1]);
    d[0] = static_cast<S>(g.by_a), d[1] = static_cast<S>(g.by_b);
  }
};

struct MittagLefflerElu {
  static constexpr UnitInfo kInfo{
      "mittag_leffler_elu",
      "ml_elu",
      "x for x > 0, else E_{a,1}(x) − 1; a in [0.1, 1] learned; elu at a = 1",
      "1 for x > 0, else E′(x)",
      "after Mostafanejad 2023, arXiv 2302.11007 (reconstructed from its abstract)",
      "",
      "scalar",
      {{"a", 1, 0.1, 1, true}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    if (x > 0) return {x, S(1)};
    const MittagLefflerBounds bound(p[0], 1);
    const auto e = mittag_leffler(bound.a, 1, x);
    return {static_cast<S>(e.f - 1), static_cast<S>(e.by_z)};
  }
  template <class S>
  static void by(S x, const S* p, S* d) {
    d[0] = 0;
    if (x > 0) return;
    const MittagLefflerBounds bound(p[0], 1);
    d[0] = static_cast<S>(mittag_leffler(bound.a, 1, x).by_a * bound.a_slope);
  }
};

using MittagLefflerUnits = Units<MittagLefflerUnit, MittagLefflerGate, MittagLefflerElu>;
