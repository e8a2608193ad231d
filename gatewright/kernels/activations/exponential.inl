// A line on the right, a bounded curve on the left, and smooth maxima of 0 and x.
struct Elu {
  static constexpr UnitInfo kInfo{"elu",
                                  "",
                                  "x for x > 0, else alpha·(eˣ − 1)",
                                  "1 for x > 0, else alpha·eˣ",
                                  "Clevert et al. 2015, arXiv 1511.07289",
                                  "",
                                  "",
                                  {{"alpha", 1, 0, 1e3}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const S less = expm1_of(x > 0 ? S(0) : x);
    return {(x > 0 ? x : S(0)) + p[0] * less, (x > 0 ? S(1) : p[0]) * (less + 1)};
  }
};

// The constants that keep mean 0 and variance 1 through layers of LeCun's normal initialisation.
struct Selu {
  static constexpr UnitInfo kInfo{"selu",
                                  "",
                                  "1.0507·x for x > 0, else 1.0507·1.67326·(eˣ − 1)",
                                  "1.0507 for x > 0, else 1.75810·eˣ",
                                  "Klambauer et al. 2017, arXiv 1706.02515",
                                  "0"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S alpha = S(1.6732632423543772), scale = S(1.0507009873554805);
    const auto v = Elu::at(x, &alpha);
    return {scale * v.f, scale * v.slope};
  }
};

struct Celu {
  static constexpr UnitInfo kInfo{"celu",
                                  "",
                                  "x for x > 0, else alpha·(e^(x/alpha) − 1)",
                                  "1 for x > 0, else e^(x/alpha)",
                                  "Barron 2017, arXiv 1704.07483",
                                  "",
                                  "",
                                  {{"alpha", 1, 1e-3, 1e3}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const S less = expm1_of(x > 0 ? S(0) : x / p[0]);
    return {(x > 0 ? x : S(0)) + p[0] * less, less + 1};
  }
};

struct Isrlu {
  static constexpr UnitInfo kInfo{"isrlu",
                                  "",
                                  "x for x > 0, else x/√(1 + alpha·x²)",
                                  "1 for x > 0, else (1 + alpha·x²)^(−3/2)",
                                  "Carlile et al. 2017, arXiv 1710.09967",
                                  "",
                                  "",
                                  {{"alpha", 1, 0, 1e3}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const S low = x < 0 ? x : S(0), by = 1 / sqrt_of(1 + p[0] * low * low);
    return {x > 0 ? x : x * by, by * by * by};
  }
};

struct Softplus {
  static constexpr UnitInfo kInfo{
      "softplus", "soft_plus", "ln(1 + e^(beta·x))/beta", "σ(beta·x)", "Dugas et al. 2001 (NIPS 13)",
      "",         "",          {{"beta", 1, 1e-3, 1e3}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    return {softplus_of(p[0] * x) / p[0], sigmoid_of(p[0] * x)};
  }
};

struct Squareplus {
  static constexpr UnitInfo kInfo{
      "squareplus", "", "(x + √(x² + b))/2",  "(1 + x/√(x² + b))/2", "Barron 2021, arXiv 2112.11687",
      "",           "", {{"b", 4, 1e-6, 1e6}}};
  // Left of 0 the sum cancels: b/(√ − x) is the same number.
  template <class S>
  static Value<S> at(S x, const S* p) {
    const S root = sqrt_of(x * x + p[0]), below = p[0] / (2 * (root + abs_of(x))),
            f = x > 0 ? x + below : below;
    return {x == x ? f : x, f / root};
  }
};

using ExponentialUnits = Units<Elu, Selu, Celu, Isrlu, Softplus, Squareplus>;
