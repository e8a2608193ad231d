// Numbers and activations for every level. Included inside a level's namespace after exp_of(Sum) and
// erf_of(Sum, e^-x² as well) are defined; GW_DEVICE is what nvcc wants before a function that a GPU runs.
#if !defined(GW_DEVICE)
#define GW_DEVICE
#endif

GW_DEVICE inline double widen(double v) { return v; }
GW_DEVICE inline float widen(float v) { return v; }
GW_DEVICE inline float widen(Bf16 v) {
  const uint32_t bits = static_cast<uint32_t>(v.bits) << 16;
  return __builtin_bit_cast(float, bits);
}

GW_DEVICE inline void narrow_to(double v, double& to) { to = v; }
GW_DEVICE inline void narrow_to(float v, float& to) { to = v; }
GW_DEVICE inline void narrow_to(float v, Bf16& to) {  // nearest, ties to even; a NaN stays one
  const uint32_t bits = __builtin_bit_cast(uint32_t, v);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to.bits = static_cast<uint16_t>(v == v ? rounded : 0x7fc0u);
}

GW_DEVICE inline float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
GW_DEVICE inline double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }

// Nearest values within bounds; a NaN stays one.
template <class S>
GW_DEVICE inline S at_most(S x, S limit) {
  return x > limit ? limit : x;
}
template <class S>
GW_DEVICE inline S within(S x, S limit) {
  return x < -limit ? -limit : at_most(x, limit);
}

template <class S>
struct Value {
  S f, slope;
};

template <Activation A, class S>
GW_DEVICE inline Value<S> at(S x) {
  if constexpr (A == Activation::identity) return {x, S(1)};
  if constexpr (A == Activation::relu) return {x > 0 ? x : (x == x ? S(0) : x), x > 0 ? S(1) : S(0)};
  if constexpr (A == Activation::relu_squared)
    return {x > 0 ? x * x : (x == x ? S(0) : x), x > 0 ? 2 * x : S(0)};
  if constexpr (A == Activation::sigmoid) {
    const S s = 1 / (1 + exp_of(-x));
    return {s, s * (1 - s)};
  }
  if constexpr (A == Activation::tanh) {
    const S t = 1 - 2 / (exp_of(2 * x) + 1);
    return {t, 1 - t * t};
  }
  if constexpr (A == Activation::silu || A == Activation::quick_gelu) {
    constexpr S steep = A == Activation::silu ? S(1) : S(1.702);
    const S s = 1 / (1 + exp_of(-steep * x));
    return {x * s, s * (1 + steep * x * (1 - s))};
  }
  if constexpr (A == Activation::gelu) {
    S bell;
    const S below = S(0.5) * (1 + erf_of(x * S(0.70710678118654752), bell));
    return {x * below, below + x * S(0.39894228040143268) * bell};
  }
  constexpr S scale = S(0.79788456080286536), cubic = S(0.044715);
  const S t = 1 - 2 / (exp_of(2 * scale * (x + cubic * x * x * x)) + 1);
  return {S(0.5) * x * (1 + t),
          S(0.5) * (1 + t) + S(0.5) * x * (1 - t * t) * scale * (1 + 3 * cubic * x * x)};
}

/// body(std::integral_constant-like tag) for the activation of this call: the switch stays outside the loops.
template <Activation A>
struct Tag {
  static constexpr Activation value = A;
};
template <class Body>
GW_DEVICE inline auto with(Activation f, Body body) {
  switch (f) {
    case Activation::identity:
      return body(Tag<Activation::identity>{});
    case Activation::relu:
      return body(Tag<Activation::relu>{});
    case Activation::relu_squared:
      return body(Tag<Activation::relu_squared>{});
    case Activation::sigmoid:
      return body(Tag<Activation::sigmoid>{});
    case Activation::tanh:
      return body(Tag<Activation::tanh>{});
    case Activation::silu:
      return body(Tag<Activation::silu>{});
    case Activation::quick_gelu:
      return body(Tag<Activation::quick_gelu>{});
    case Activation::gelu:
      return body(Tag<Activation::gelu>{});
    default:
      return body(Tag<Activation::gelu_tanh>{});
  }
}
