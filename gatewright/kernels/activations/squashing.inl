// Functions into an interval (the logarithm of one, too).
struct Sigmoid {
  static constexpr UnitInfo kInfo{"sigmoid", "logistic", "σ(x) = 1/(1 + e^(−x))", "σ(x)·(1 − σ(x))", "",
                                  "",        "bounded"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S s = sigmoid_of(x);
    return {s, s * (1 - s)};
  }
  template <class S>
  static S bend(S x) {
    const S a = sigmoid_of(x);
    return a * (1 - a) * (1 - 2 * a);
  }
};

struct HardSigmoid {
  static constexpr UnitInfo kInfo{"hard_sigmoid",
                                  "",
                                  "min(6, max(0, x + 3))/6",
                                  "1/6 for |x| < 3, else 0",
                                  "Howard et al. 2019, arXiv 1905.02244 (MobileNetV3)",
                                  "-3,3",
                                  "bounded"};
  template <class S>
  static Value<S> at(S x, const S*) {
    return {held(x + 3, S(0), S(6)) / 6, abs_of(x) < 3 ? S(1) / 6 : S(0)};
  }
};

struct Tanh {
  static constexpr UnitInfo kInfo{"tanh", "", "tanh(x)", "1 − tanh(x)²", "", "", "bounded"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S t = tanh_of(x);
    return {t, 1 - t * t};
  }
  template <class S>
  static S bend(S x) {
    const S a = tanh_of(x);
    return -2 * a * (1 - a * a);
  }
};

struct HardTanh {
  static constexpr UnitInfo kInfo{
      "hard_tanh", "hardtanh", "min(1, max(−1, x))", "1 for |x| < 1, else 0", "Collobert 2004 (thesis)",
      "-1,1",      "bounded"};
  template <class S>
  static Value<S> at(S x, const S*) {
    return {held(x, S(-1), S(1)), abs_of(x) < 1 ? S(1) : S(0)};
  }
};

struct PenalizedTanh {
  static constexpr UnitInfo kInfo{"penalized_tanh",
                                  "penalised_tanh",
                                  "tanh(x) for x > 0, else slope·tanh(x)",
                                  "(1 − tanh(x)²) for x > 0, else slope·(1 − tanh(x)²)",
                                  "Xu et al. 2016, arXiv 1602.05980",
                                  "0",
                                  "bounded",
                                  {{"slope", 0.25, 0, 1}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const S by = x > 0 ? S(1) : p[0], t = tanh_of(x);
    return {by * t, by * (1 - t * t)};
  }
};

struct Softsign {
  static constexpr UnitInfo kInfo{"softsign",
                                  "soft_sign",
                                  "x/(1 + |x|)",
                                  "1/(1 + |x|)²",
                                  "Turian et al. 2009 (quadratic features and deep architectures)",
                                  "",
                                  "bounded"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S by = 1 / (1 + abs_of(x));
    return {x * by, by * by};
  }
};

struct LogSigmoid {
  static constexpr UnitInfo kInfo{"log_sigmoid", "logsigmoid", "ln σ(x) = −ln(1 + e^(−x))", "σ(−x)", ""};
  template <class S>
  static Value<S> at(S x, const S*) {
    return {-softplus_of(-x), sigmoid_of(-x)};
  }
};

using SquashingUnits = Units<Sigmoid, HardSigmoid, Tanh, HardTanh, PenalizedTanh, Softsign, LogSigmoid>;
