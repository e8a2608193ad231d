// Rectifiers: straight lines and their powers.
struct Identity {
  static constexpr UnitInfo kInfo{"identity", "none,linear", "x", "1", ""};
  template <class S>
  static Value<S> at(S x, const S*) {
    return {x, S(1)};
  }
  template <class S>
  static S bend(S) {
    return 0;
  }
};

struct Relu {
  static constexpr UnitInfo kInfo{
      "relu", "", "max(0, x)", "1 for x > 0, else 0", "Nair and Hinton 2010 (ICML)", "0"};
  template <class S>
  static Value<S> at(S x, const S*) {
    return {x > 0 ? x : (x == x ? S(0) : x), x > 0 ? S(1) : S(0)};
  }
};

struct LeakyRelu {
  static constexpr UnitInfo kInfo{"leaky_relu",
                                  "lrelu",
                                  "x for x > 0, else slope·x",
                                  "1 for x > 0, else slope",
                                  "Maas et al. 2013 (ICML workshop)",
                                  "0",
                                  "",
                                  {{"slope", 0.01, -1, 1}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const S slope = x > 0 ? S(1) : p[0];
    return {slope * x, slope};
  }
};

struct Prelu {
  static constexpr UnitInfo kInfo{"prelu",
                                  "",
                                  "x for x > 0, else slope·x; slope learned",
                                  "1 for x > 0, else slope",
                                  "He et al. 2015, arXiv 1502.01852",
                                  "0",
                                  "",
                                  {{"slope", 0.25, -10, 10, true}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    return LeakyRelu::at(x, p);
  }
  template <class S>
  static void by(S x, const S*, S* d) {
    d[0] = x > 0 ? S(0) : x;
  }
};

struct Relu6 {
  static constexpr UnitInfo kInfo{"relu6",
                                  "",
                                  "min(6, max(0, x))",
                                  "1 for 0 < x < 6, else 0",
                                  "Krizhevsky 2010 (convolutional deep belief networks on CIFAR-10)",
                                  "0,6",
                                  "bounded"};
  template <class S>
  static Value<S> at(S x, const S*) {
    return {held(x, S(0), S(6)), x > 0 && x < 6 ? S(1) : S(0)};
  }
};

struct ReluSquared {
  static constexpr UnitInfo kInfo{"relu_squared", "squared_relu,relu2", "max(0, x)²", "2·max(0, x)",
                                  "So et al. 2021, arXiv 2109.08668 (Primer)"};
  template <class S>
  static Value<S> at(S x, const S*) {
    return {x > 0 ? x * x : (x == x ? S(0) : x), x > 0 ? 2 * x : S(0)};
  }
};

// The defaults standardise the output of a standard normal x, which is the paper's reason for the unit; the
// published class starts at s = 1, b = 0.
struct StarRelu {
  static constexpr UnitInfo kInfo{
      "star_relu",
      "",
      "s·max(0, x)² + b; s and b learned",
      "2·s·max(0, x)",
      "Yu et al. 2022, arXiv 2210.13452 (MetaFormer baselines)",
      "",
      "",
      {{"s", 0.89442719099991588, -100, 100, true}, {"b", -0.44721359549995794, -100, 100, true}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const auto square = ReluSquared::at(x, p);
    return {p[0] * square.f + p[1], p[0] * square.slope};
  }
  template <class S>
  static void by(S x, const S* p, S* d) {
    d[0] = ReluSquared::at(x, p).f, d[1] = 1;
  }
};

struct Helu {
  static constexpr UnitInfo kInfo{"helu",
                                  "",
                                  "max(0, x)",
                                  "backward 1 for x > −alpha, else 0: hysteresis, not the derivative",
                                  "Kimhi et al. 2024, arXiv 2411.10573",
                                  "-0.05,0",
                                  "straight-through",
                                  {{"alpha", 0.05, 0, 100}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    return {Relu::at(x, p).f, x > -p[0] ? S(1) : S(0)};
  }
};

struct Softshrink {
  static constexpr UnitInfo kInfo{"softshrink",
                                  "soft_shrink",
                                  "sign(x)·max(0, |x| − lambda)",
                                  "1 for |x| > lambda, else 0",
                                  "Donoho 1995 (soft thresholding)",
                                  "-0.5,0.5",
                                  "",
                                  {{"lambda", 0.5, 0, 1e6}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    return {x - held(x, -p[0], p[0]), abs_of(x) > p[0] ? S(1) : S(0)};
  }
};

using ReluUnits = Units<Identity, Relu, LeakyRelu, Prelu, Relu6, ReluSquared, StarRelu, Helu, Softshrink>;
