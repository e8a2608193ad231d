// x times a gate of x, without learned parameters. s = σ(x), sp = ln(1 + eˣ), Φ and φ the normal law's.
struct Silu {
  static constexpr UnitInfo kInfo{"silu", "swish_1", "x·σ(x)", "s + x·s·(1 − s)",
                                  "Elfwing et al. 2017, arXiv 1702.03118; Ramachandran et al. 2017, arXiv "
                                  "1710.05941"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S s = sigmoid_of(x);
    return {x * s, s + x * s * (1 - s)};
  }
};

struct QuickGelu {
  static constexpr UnitInfo kInfo{"quick_gelu", "", "x·σ(1.702·x)", "s + 1.702·x·s·(1 − s), s = σ(1.702·x)",
                                  "Hendrycks and Gimpel 2016, arXiv 1606.08415"};
  template <class S>
  static Value<S> at(S x, const S*) {
    constexpr S steep = S(1.702);
    const S s = sigmoid_of(steep * x);
    return {x * s, s + steep * x * s * (1 - s)};
  }
};

struct Gelu {
  static constexpr UnitInfo kInfo{"gelu", "", "x·Φ(x), the exact form by erf", "Φ(x) + x·φ(x)",
                                  "Hendrycks and Gimpel 2016, arXiv 1606.08415"};
  template <class S>
  static Value<S> at(S x, const S*) {
    S bell;
    const S below = normal_of(x, bell);
    return {x * below, below + x * bell / S(kRootTwoPi)};
  }
  template <class S>
  static S bend(S x) {
    return (2 - x * x) * exp_of(S(-0.5) * x * x) / S(kRootTwoPi);
  }
};

struct GeluTanh {
  static constexpr UnitInfo kInfo{
      "gelu_tanh", "gelu_new,gelu_pytorch_tanh", "x·(1 + t)/2, t = tanh(√(2/π)·(x + 0.044715·x³))",
      "(1 + t)/2 + x·(1 − t²)·√(2/π)·(1 + 3·0.044715·x²)/2",
      "Hendrycks and Gimpel 2016, arXiv 1606.08415; differs from gelu by up to 5e-4"};
  // t is ±1 beyond 20, where x³ has not yet overflowed.
  template <class S>
  static Value<S> at(S x, const S*) {
    constexpr S scale = S(0.79788456080286536), cubic = S(0.044715);
    const S u = held(x, S(-20), S(20)), t = tanh_of(scale * (u + cubic * u * u * u));
    return {S(0.5) * x * (1 + t),
            S(0.5) * (1 + t) + S(0.5) * u * (1 - t * t) * scale * (1 + 3 * cubic * u * u)};
  }
};

// tanh(sp) from e = e^(-|x|), which cannot overflow.
struct Mish {
  static constexpr UnitInfo kInfo{"mish", "", "x·tanh(sp)", "t + x·(1 − t²)·σ(x), t = tanh(sp)",
                                  "Misra 2019, arXiv 1908.08681"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S e = exp_of(-abs_of(x));
    const S right = (1 + 2 * e) / (1 + 2 * e + 2 * e * e), left = e * (e + 2) / (e * (e + 2) + 2);
    const S t = x >= 0 ? right : left;
    return {x * t, t + x * (1 - t * t) * sigmoid_of(x)};
  }
};

struct HardSwish {
  static constexpr UnitInfo kInfo{"hard_swish",
                                  "hardswish,hard_silu",
                                  "x·min(6, max(0, x + 3))/6",
                                  "0 for x < −3, 1 for x > 3, else (2·x + 3)/6",
                                  "Howard et al. 2019, arXiv 1905.02244 (MobileNetV3)",
                                  "-3,3"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S gate = held(x + 3, S(0), S(6)) / 6, u = held(x, S(-3), S(3)), inside = (2 * u + 3) / 6;
    return {x * gate, x > 3 ? S(1) : (x < -3 ? S(0) : inside)};
  }
};

struct HardMish {
  static constexpr UnitInfo kInfo{"hard_mish",
                                  "hardmish",
                                  "x·min(2, max(0, x + 2))/2",
                                  "0 for x < −2, 1 for x > 0, else x + 1",
                                  "Wightman (pytorch-image-models)",
                                  "-2"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S gate = held(x + 2, S(0), S(2)) / 2, inside = held(x, S(-2), S(0)) + 1;
    return {x * gate, x < -2 ? S(0) : inside};
  }
};

// G = e^(-z) with z = β·e^(-γx); e^(-γx)·G is taken as one exponential, which is 0 where its factors are
// inf·0.
struct Golu {
  static constexpr UnitInfo kInfo{"golu",
                                  "gompertz",
                                  "x·G, G = alpha·exp(−beta·exp(−gamma·x))",
                                  "G·(1 + beta·gamma·x·exp(−gamma·x))",
                                  "Das et al. 2025, arXiv 2502.03654 (GoLU)",
                                  "",
                                  "",
                                  {{"alpha", 1, 0, 1e3}, {"beta", 1, 0, 1e3}, {"gamma", 1, 0, 1e3}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const S power = held(-p[2] * x, S(-1e30), S(80)), falls = p[1] * exp_of(power);
    const S gate = p[0] * exp_of(-falls), bell = p[0] * p[1] * p[2] * exp_of(power - falls);
    return {x * gate, gate + x * bell};
  }
};

struct Atlu {
  static constexpr UnitInfo kInfo{"atlu", "", "x·(atan(x)/π + 1/2)", "atan(x)/π + 1/2 + x/(π·(1 + x²))",
                                  "Huang 2024, arXiv 2405.20768; falls to −1/π on the left, never to 0"};
  template <class S>
  static Value<S> at(S x, const S*) {
    S bell;
    const S gate = arctan_gate_of(x, bell);
    return {x * gate, gate + x * bell};
  }
};

struct Logish {
  static constexpr UnitInfo kInfo{"logish", "", "x·ln(1 + s)", "ln(1 + s) + x·s·(1 − s)/(1 + s)",
                                  "Zhu et al. 2021 (Neurocomputing 458)"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S s = sigmoid_of(x), gate = log1p_of(s);
    return {x * gate, gate + x * s * (1 - s) / (1 + s)};
  }
};

// Where eˣ overflows the rest has long been 0.
struct TanhExp {
  static constexpr UnitInfo kInfo{"tanh_exp",
                                  "tanhexp",
                                  "x·tanh(eˣ)",
                                  "t + x·eˣ·(1 − t²), t = tanh(eˣ)",
                                  "Liu and Di 2020, arXiv 2003.09855",
                                  "",
                                  "scalar"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S e = exp_of(x), t = tanh_of(e), rest = 1 - t * t;
    return {x * t, t + (rest > 0 ? x * e * rest : rest)};
  }
};

struct Smish {
  static constexpr UnitInfo kInfo{"smish", "", "x·tanh(ln(1 + s))",
                                  "t + x·(1 − t²)·s·(1 − s)/(1 + s), t = tanh(ln(1 + s))",
                                  "Wang et al. 2022 (Electronics 11)"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S s = sigmoid_of(x), square = (1 + s) * (1 + s), t = s * (2 + s) / (square + 1);
    return {x * t, t + x * (1 - t * t) * s * (1 - s) / (1 + s)};
  }
};

struct Serf {
  static constexpr UnitInfo kInfo{"serf", "", "x·erf(sp)", "erf(sp) + x·(2/√π)·e^(−sp²)·σ(x)",
                                  "Nag et al. 2021, arXiv 2108.09598"};
  template <class S>
  static Value<S> at(S x, const S*) {
    S bell;
    const S gate = erf_of(softplus_of(x), bell);
    return {x * gate, gate + x * S(kTwoOverRootPi) * bell * sigmoid_of(x)};
  }
};

struct Phish {
  static constexpr UnitInfo kInfo{"phish", "", "x·tanh(gelu(x))",
                                  "t + x·(1 − t²)·gelu′(x), t = tanh(gelu(x))", "Naveen 2022 (Phish)"};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const auto inner = Gelu::at(x, p);
    const S t = tanh_of(inner.f);
    return {x * t, t + x * (1 - t * t) * inner.slope};
  }
};

struct Lisht {
  static constexpr UnitInfo kInfo{"lisht", "", "x·tanh(x)", "tanh(x) + x·(1 − tanh(x)²)",
                                  "Roy et al. 2019, arXiv 1901.05894"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S t = tanh_of(x);
    return {x * t, t + x * (1 - t * t)};
  }
};

struct Elish {
  static constexpr UnitInfo kInfo{"elish", "", "x·s for x ≥ 0, else (eˣ − 1)·s",
                                  "s + x·s·(1 − s) for x ≥ 0, else eˣ·s + (eˣ − 1)·s·(1 − s)",
                                  "Basirat and Roth 2018, arXiv 1808.00783"};
  template <class S>
  static Value<S> at(S x, const S*) {
    const S s = sigmoid_of(x), less = expm1_of(x > 0 ? S(0) : x), factor = (x > 0 ? x : S(0)) + less;
    return {factor * s, (less + 1) * s + factor * s * (1 - s)};
  }
};

struct ESwish {
  static constexpr UnitInfo kInfo{
      "e_swish", "eswish", "beta·x·σ(x)",        "beta·(s + x·s·(1 − s))", "Alcaide 2018, arXiv 1801.07145",
      "",        "",       {{"beta", 1.5, 1, 2}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const auto v = Silu::at(x, p);
    return {p[0] * v.f, p[0] * v.slope};
  }
};

using SelfGatedUnits = Units<Silu, QuickGelu, Gelu, GeluTanh, Mish, HardSwish, HardMish, Golu, Atlu, Logish,
                             TanhExp, Smish, Serf, Phish, Lisht, Elish, ESwish>;
