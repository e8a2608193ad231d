// Gates stretched from (0, 1) to (−alpha, 1 + alpha), alpha learned from 0: x times one, or the gate alone,
// which with a GLU is the paper's first-order form (its better one).
template <class S>
inline Value<S> expanded(Value<S> gate, S alpha) {
  return {gate.f * (1 + 2 * alpha) - alpha, gate.slope * (1 + 2 * alpha)};
}
struct ArctanBase {
  template <class S>
  static Value<S> at(S x) {
    S bell;
    const S gate = arctan_gate_of(x, bell);
    return {gate, bell};
  }
};
struct GaussBase {
  template <class S>
  static Value<S> at(S x) {
    S bell;
    const S gate = normal_of(x, bell);
    return {gate, bell / S(kRootTwoPi)};
  }
};
struct SigmoidBase {
  template <class S>
  static Value<S> at(S x) {
    const S s = sigmoid_of(x);
    return {s, s * (1 - s)};
  }
};

template <class Base>
struct ExpandedGate {
  template <class S>
  static Value<S> at(S x, const S* p) {
    return expanded(Base::at(x), p[0]);
  }
  template <class S>
  static void by(S x, const S*, S* d) {
    d[0] = 2 * Base::at(x).f - 1;
  }
};
template <class Base>
struct ExpandedUnit {
  template <class S>
  static Value<S> at(S x, const S* p) {
    const auto gate = expanded(Base::at(x), p[0]);
    return {x * gate.f, gate.f + x * gate.slope};
  }
  template <class S>
  static void by(S x, const S*, S* d) {
    d[0] = x * (2 * Base::at(x).f - 1);
  }
};

struct Xatlu : ExpandedUnit<ArctanBase> {
  static constexpr UnitInfo kInfo{"xatlu",
                                  "",
                                  "x·G, G = (1 + 2·alpha)·g − alpha, g = atan(x)/π + 1/2; alpha learned",
                                  "G + x·(1 + 2·alpha)/(π·(1 + x²))",
                                  "Huang 2024, arXiv 2405.20768",
                                  "",
                                  "",
                                  {{"alpha", 0, -10, 10, true}}};
};
struct Xgelu : ExpandedUnit<GaussBase> {
  static constexpr UnitInfo kInfo{"xgelu",
                                  "",
                                  "x·G, G = (1 + 2·alpha)·Φ(x) − alpha; alpha learned",
                                  "G + x·(1 + 2·alpha)·φ(x)",
                                  "Huang 2024, arXiv 2405.20768",
                                  "",
                                  "",
                                  {{"alpha", 0, -10, 10, true}}};
};
struct Xsilu : ExpandedUnit<SigmoidBase> {
  static constexpr UnitInfo kInfo{"xsilu",
                                  "xswish",
                                  "x·G, G = (1 + 2·alpha)·σ(x) − alpha; alpha learned",
                                  "G + x·(1 + 2·alpha)·s·(1 − s)",
                                  "Huang 2024, arXiv 2405.20768",
                                  "",
                                  "",
                                  {{"alpha", 0, -10, 10, true}}};
};
struct ArctanGate : ExpandedGate<ArctanBase> {
  static constexpr UnitInfo kInfo{"arctan_gate",
                                  "",
                                  "G = (1 + 2·alpha)·(atan(x)/π + 1/2) − alpha; alpha learned",
                                  "(1 + 2·alpha)/(π·(1 + x²))",
                                  "Huang 2024, arXiv 2405.20768: with glu the first-order xATGLU",
                                  "",
                                  "bounded",
                                  {{"alpha", 0, -10, 10, true}}};
};
struct GaussGate : ExpandedGate<GaussBase> {
  static constexpr UnitInfo kInfo{"gauss_gate",
                                  "",
                                  "G = (1 + 2·alpha)·Φ(x) − alpha; alpha learned",
                                  "(1 + 2·alpha)·φ(x)",
                                  "Huang 2024, arXiv 2405.20768: with glu the first-order xGEGLU",
                                  "",
                                  "bounded",
                                  {{"alpha", 0, -10, 10, true}}};
};
struct SigmoidGate : ExpandedGate<SigmoidBase> {
  static constexpr UnitInfo kInfo{"sigmoid_gate",
                                  "",
                                  "G = (1 + 2·alpha)·σ(x) − alpha; alpha learned",
                                  "(1 + 2·alpha)·s·(1 − s)",
                                  "Huang 2024, arXiv 2405.20768: with glu the first-order xSwiGLU",
                                  "",
                                  "bounded",
                                  {{"alpha", 0, -10, 10, true}}};
};

using ExpandedUnits = Units<Xatlu, Xgelu, Xsilu, ArctanGate, GaussGate, SigmoidGate>;
