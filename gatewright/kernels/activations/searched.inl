// What the search for activations found beside Swish.
#define GW_SEARCHED "Ramachandran et al. 2017, arXiv 1710.05941"

struct MaxSigmoid {
  static constexpr UnitInfo kInfo{"max_sigmoid",  "",
                                  "max(x, σ(x))", "1 where x > σ(x), else s·(1 − s)",
                                  GW_SEARCHED,    "0.6590460684074066"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S s = sigmoid_of(x);
    return {x > s ? x : s, x > s ? S(1) : s * (1 - s)};
  }
};

struct MaxTanh {
  static constexpr UnitInfo kInfo{"max_tanh", "", "max(x, tanh(x))", "1 for x > 0, else 1 − tanh(x)²",
                                  GW_SEARCHED};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S t = tanh_of(x);
    return {x > 0 ? x : t, x > 0 ? S(1) : 1 - t * t};
  }
};

struct MinSin {
  static constexpr UnitInfo kInfo{"min_sin",   "", "min(x, sin(x))", "cos(x) for x > 0, else 1",
                                  GW_SEARCHED, "", "scalar"};
  template <class S>
  static Value<S> at(S x, const S*) {
    return {x > 0 ? sin_of(x) : x, x > 0 ? cos_of(x) : S(1)};
  }
};

struct CosMinus {
  static constexpr UnitInfo kInfo{"cos_minus", "", "cos(x) − x", "−sin(x) − 1", GW_SEARCHED, "", "scalar"};
  template <class S>
  static Value<S> at(S x, const S*) {
    return {cos_of(x) - x, -sin_of(x) - 1};
  }
};

struct AtanSquaredMinus {
  static constexpr UnitInfo kInfo{"atan_squared_minus", "", "atan(x)² − x", "2·atan(x)/(1 + x²) − 1",
                                  GW_SEARCHED};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S a = atan_of(x);
    return {a * a - x, 2 * a / (1 + x * x) - 1};
  }
};

// Near 0 the quotients cancel: their series to x⁸ is exact there.
struct SincPlus {
  static constexpr UnitInfo kInfo{"sinc_plus", "", "sin(x)/x + x", "(x·cos(x) − sin(x))/x² + 1",
                                  GW_SEARCHED, "", "scalar"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S q = x * x;
    if (q < S(0.01))
      return {1 - q / 6 * (1 - q / 20 * (1 - q / 42 * (1 - q / 72))) + x,
              1 - x / 3 * (1 - q / 10 * (1 - q / 28 * (1 - q / 54)))};
    const S s = sin_of(x) / x;
    return {s + x, (cos_of(x) - s) / x + 1};
  }
};

struct AsinhSquared {
  static constexpr UnitInfo kInfo{"asinh_squared", "", "x·asinh(x)²", "asinh(x)² + 2·x·asinh(x)/√(1 + x²)",
                                  GW_SEARCHED};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S root = sqrt_of(1 + x * x), size = abs_of(x);
    // asinh(|x|) = ln(1 + |x| + x²/(1 + √(1 + x²))): no cancellation at 0
    const S a = log1p_of(size + size * (size / (1 + root))), twice = 2 * a * size / root;
    return {x * a * a, a * a + twice};
  }
};
#undef GW_SEARCHED

using SearchedUnits = Units<MaxSigmoid, MaxTanh, MinSin, CosMinus, AtanSquaredMinus, SincPlus, AsinhSquared>;
