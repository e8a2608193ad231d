// Sines. Their loops call the library's sin and cos at every level: about 20 ns a value.
struct Gcu {
  static constexpr UnitInfo kInfo{
      "gcu", "", "x·cos(x)", "cos(x) − x·sin(x)", "Noel et al. 2021, arXiv 2108.12943", "", "scalar"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S c = cos_of(x);
    return {x * c, c - x * sin_of(x)};
  }
};

struct Snake {
  static constexpr UnitInfo kInfo{"snake",
                                  "",
                                  "x + sin²(a·x)/a; a learned",
                                  "1 + sin(2·a·x)",
                                  "Ziyin et al. 2020, arXiv 2006.08195",
                                  "",
                                  "scalar",
                                  {{"a", 1, 1e-3, 1e3, true}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const S s = sin_of(p[0] * x), c = cos_of(p[0] * x);
    return {x + s * s / p[0], 1 + 2 * s * c};
  }
  template <class S>
  static void by(S x, const S* p, S* d) {
    const S s = sin_of(p[0] * x), c = cos_of(p[0] * x);
    d[0] = (2 * x * s * c - s * s / p[0]) / p[0];
  }
};

struct Sine {
  static constexpr UnitInfo kInfo{
      "sine",
      "sin,siren",
      "sin(omega·x)",
      "omega·cos(omega·x)",
      "Sitzmann et al. 2020, arXiv 2006.09661 (SIREN; it wants its own initial weights)",
      "",
      "bounded,scalar",
      {{"omega", 30, 1e-3, 1e4}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    return {sin_of(p[0] * x), p[0] * cos_of(p[0] * x)};
  }
};

using PeriodicUnits = Units<Gcu, Snake, Sine>;
