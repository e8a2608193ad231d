// Shapes that are learned beside the weights.
struct Swish {
  static constexpr UnitInfo kInfo{"swish",
                                  "swish_beta",
                                  "x·σ(beta·x); beta learned",
                                  "s + beta·x·s·(1 − s), s = σ(beta·x)",
                                  "Ramachandran et al. 2017, arXiv 1710.05941",
                                  "",
                                  "",
                                  {{"beta", 1, -100, 100, true}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const S s = sigmoid_of(p[0] * x);
    return {x * s, s + p[0] * (x * s) * (1 - s)};
  }
  template <class S>
  static void by(S x, const S* p, S* d) {
    const S s = sigmoid_of(p[0] * x);
    d[0] = (x * s) * (x * (1 - s));
  }
};

struct SinLu {
  static constexpr UnitInfo kInfo{"sinlu",
                                  "",
                                  "(x + a·sin(b·x))·σ(x); a and b learned",
                                  "(1 + a·b·cos(b·x))·s + (x + a·sin(b·x))·s·(1 − s)",
                                  "Paul et al. 2022 (Mathematics 10)",
                                  "",
                                  "scalar",
                                  {{"a", 1, -100, 100, true}, {"b", 1, -100, 100, true}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const S s = sigmoid_of(x), wave = x + p[0] * sin_of(p[1] * x);
    return {wave * s, (1 + p[0] * p[1] * cos_of(p[1] * x)) * s + wave * s * (1 - s)};
  }
  template <class S>
  static void by(S x, const S* p, S* d) {
    const S s = sigmoid_of(x);
    d[0] = sin_of(p[1] * x) * s, d[1] = p[0] * x * cos_of(p[1] * x) * s;
  }
};

struct AconC {
  static constexpr UnitInfo kInfo{
      "acon_c",
      "acon",
      "(p1 − p2)·x·σ(beta·(p1 − p2)·x) + p2·x; all three learned",
      "d·(s + beta·d·x·s·(1 − s)) + p2, d = p1 − p2, s = σ(beta·d·x)",
      "Ma et al. 2020, arXiv 2009.04759; the published class draws p1 and p2",
      "",
      "",
      {{"p1", 1, -100, 100, true}, {"p2", 0, -100, 100, true}, {"beta", 1, -100, 100, true}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    const S d = p[0] - p[1], s = sigmoid_of(p[2] * d * x);
    return {d * x * s + p[1] * x, d * s + p[2] * d * (d * x * s) * (1 - s) + p[1]};
  }
  template <class S>
  static void by(S x, const S* p, S* to) {
    const S d = p[0] - p[1], s = sigmoid_of(p[2] * d * x);
    to[0] = x * s + p[2] * (d * x * s) * (x * (1 - s));
    to[1] = x - to[0];
    to[2] = (d * x * s) * (d * x * (1 - s));
  }
};

// The initial coefficients are a least-squares fit to leaky_relu on [−3, 3] (largest error 0.034) with Q ≥ 0,
// so that nothing has a kink until training makes one. Beyond 1 all powers are divided by x⁴, so that no
// power overflows.
struct Pau {
  static constexpr UnitInfo kInfo{"pau",
                                  "pade",
                                  "P(x)/(1 + |Q(x)|), P = a0 + … + a5·x⁵, Q = b1·x + … + b4·x⁴; all learned",
                                  "(P′·(1 + |Q|) − P·sign(Q)·Q′)/(1 + |Q|)²",
                                  "Molina et al. 2019, arXiv 1907.06732; initial coefficients are ours",
                                  "",
                                  "",
                                  {{"a0", 0.03358, -1e3, 1e3, true},
                                   {"a1", 0.505, -1e3, 1e3, true},
                                   {"a2", 1.652, -1e3, 1e3, true},
                                   {"a3", 2.007, -1e3, 1e3, true},
                                   {"a4", 0.9298, -1e3, 1e3, true},
                                   {"a5", 0.152, -1e3, 1e3, true},
                                   {"b1", 0, -1e3, 1e3, true},
                                   {"b2", 3.974, -1e3, 1e3, true},
                                   {"b3", 0, -1e3, 1e3, true},
                                   {"b4", 0.3009, -1e3, 1e3, true}}};
  // power[k + 1] = x^k, or x^(k - 4) beyond 1.
  template <class S>
  static void powers(S x, S* power) {
    const bool far = abs_of(x) > 1;
    const S u = far ? 1 / x : x, u2 = u * u, u3 = u2 * u, u4 = u2 * u2;
    power[0] = 0, power[1] = far ? u4 : S(1), power[2] = far ? u3 : u, power[3] = u2;
    power[4] = far ? u : u3, power[5] = far ? S(1) : u4, power[6] = far ? x : u4 * u;
  }
  // P, P′, D = 1 + |Q|, D′ over the same power, and the sign of Q.
  template <class S>
  struct Parts {
    S top, top_slope, low, low_slope, sign, power[7];
  };
  template <class S>
  static Parts<S> parts(S x, const S* p) {
    Parts<S> r{};
    powers(x, r.power);
    S q = 0, q_slope = 0;
    for (int k = 0; k < 6; ++k) {
      r.top += p[k] * r.power[k + 1];
      if (k > 0) r.top_slope += S(k) * p[k] * r.power[k];
    }
    for (int k = 1; k < 5; ++k) q += p[5 + k] * r.power[k + 1], q_slope += S(k) * p[5 + k] * r.power[k];
    r.sign = q < 0 ? S(-1) : S(1);
    r.low = r.power[1] + r.sign * q, r.low_slope = r.sign * q_slope;
    return r;
  }
  template <class S>
  static Value<S> at(S x, const S* p) {
    const auto r = parts(x, p);
    const S f = r.top / r.low;
    return {f, (r.top_slope - f * r.low_slope) / r.low};
  }
  template <class S>
  static void by(S x, const S* p, S* d) {
    const auto r = parts(x, p);
    const S f = r.top / r.low;
    for (int k = 0; k < 6; ++k) d[k] = r.power[k + 1] / r.low;
    for (int k = 1; k < 5; ++k) d[5 + k] = -f * r.sign * r.power[k + 1] / r.low;
  }
};

struct Smu {
  static constexpr UnitInfo kInfo{
      "smu",
      "",
      "((1 + alpha)·x + (1 − alpha)·x·erf(mu·(1 − alpha)·x))/2; both learned",
      "((1 + alpha) + (1 − alpha)·(erf(u) + u·(2/√π)·e^(−u²)))/2, u = mu·(1 − alpha)·x",
      "Biswas et al. 2021, arXiv 2111.04682; mu starts at 1 here",
      "",
      "",
      {{"alpha", 0.25, -10, 10, true}, {"mu", 1, -1e6, 1e6, true}}};
  template <class S>
  static Value<S> at(S x, const S* p) {
    S bell;
    const S rest = 1 - p[0], u = p[1] * rest * x, e = erf_of(u, bell);
    return {S(0.5) * ((1 + p[0]) * x + rest * x * e),
            S(0.5) * ((1 + p[0]) + rest * (e + u * S(kTwoOverRootPi) * bell))};
  }
  template <class S>
  static void by(S x, const S* p, S* d) {
    S bell;
    const S rest = 1 - p[0], u = p[1] * rest * x, e = erf_of(u, bell), steep = S(kTwoOverRootPi) * bell;
    d[0] = S(0.5) * x * (1 - e - u * steep);
    d[1] = S(0.5) * (rest * x) * (rest * x * steep);
  }
};

using LearnedUnits = Units<Swish, SinLu, AconC, Pau, Smu>;
