// Numbers of the vector levels, without calls and branches except where noted. Errors are absolute near 1,
// about 2e-7, and relative near 0. Included after gatewright/kernels/wide_math.inl.
inline float sqrt_of(float x) { return __builtin_sqrtf(x); }
// Calls: what uses them is no vector.
inline float sin_of(float x) { return __builtin_sinf(x); }
inline float cos_of(float x) { return __builtin_cosf(x); }

// Taylor's polynomial up to 0.5, where eˣ − 1 would cancel.
inline float expm1_of(float x) {
  float p = 1.f / 5040;
  p = __builtin_fmaf(p, x, 1.f / 720);
  p = __builtin_fmaf(p, x, 1.f / 120);
  p = __builtin_fmaf(p, x, 1.f / 24);
  p = __builtin_fmaf(p, x, 1.f / 6);
  p = __builtin_fmaf(p, x, 0.5f);
  p = __builtin_fmaf(p, x * x, x);
  const float far = exp_of(x) - 1.f;
  return x * x < 0.25f ? p
                       : far;  // a comparison of x itself would meet the caller's, and no vector come of it
}

// ln x for x > 0 (normal numbers): x = 2^n·m, m in [√½, √2), Cephes' polynomial of degree 9 in m − 1.
inline float log_of(float x) {
  const int32_t bits = __builtin_bit_cast(int32_t, x), place = bits - 0x3f3504f3, n = place >> 23;
  const float m = __builtin_bit_cast(float, (place & 0x007fffff) + 0x3f3504f3), r = m - 1.f, q = r * r;
  float p = 7.0376836292e-2f;
  p = __builtin_fmaf(p, r, -1.1514610310e-1f);
  p = __builtin_fmaf(p, r, 1.1676998740e-1f);
  p = __builtin_fmaf(p, r, -1.2420140846e-1f);
  p = __builtin_fmaf(p, r, 1.4249322787e-1f);
  p = __builtin_fmaf(p, r, -1.6668057665e-1f);
  p = __builtin_fmaf(p, r, 2.0000714765e-1f);
  p = __builtin_fmaf(p, r, -2.4999993993e-1f);
  p = __builtin_fmaf(p, r, 3.3333331174e-1f);
  const float e = static_cast<float>(n);
  float y = __builtin_fmaf(r * q, p, e * -2.12194440e-4f);
  y = __builtin_fmaf(q, -0.5f, y);
  return (r + y) + e * 0.693359375f;
}

// ln(1 + u) for u > -1: what rounding took from u comes back as its share of the derivative.
inline float log1p_of(float u) {
  const float w = 1.f + u, lost = u - (w - 1.f);
  return log_of(w) + lost / w;
}

inline float tanh_of(float x) {
  const float q = x * x, e = exp_of(2.f * x), far = 1.f - 2.f / (e + 1.f);
  float p = -5.70498872745e-3f;  // Cephes, up to 0.625
  p = __builtin_fmaf(p, q, 2.06390887954e-2f);
  p = __builtin_fmaf(p, q, -5.37397155531e-2f);
  p = __builtin_fmaf(p, q, 1.33314422036e-1f);
  p = __builtin_fmaf(p, q, -3.33332819422e-1f);
  p = __builtin_fmaf(p * q, x, x);
  return q < 0.390625f ? p : far;
}

// atan(u) for |u| <= 1: Cephes' polynomial after atan(u) = π/4 + atan((u − 1)/(u + 1)) beyond tan(π/8).
inline float atan_small(float u) {
  const float m = u < 0 ? -u : u;
  const bool far = m > 0.4142135623f;
  const float v = far ? (m - 1.f) / (m + 1.f) : m, q = v * v;
  float p = 8.05374449538e-2f;
  p = __builtin_fmaf(p, q, -1.38776856032e-1f);
  p = __builtin_fmaf(p, q, 1.99777106478e-1f);
  p = __builtin_fmaf(p, q, -3.33329491539e-1f);
  p = __builtin_fmaf(p * q, v, v);
  p = far ? p + 0.7853981634f : p;
  return u < 0 ? -p : p;
}
inline float atan_of(float x) {
  const float m = x < 0 ? -x : x;
  const bool far = m > 1.f;
  const float p = atan_small(far ? 1.f / m : m), y = far ? 1.5707963268f - p : p;
  return x < 0 ? -y : y;
}

/// Φ(x), and e^(-x²/2).
inline float normal_of(float x, float& bell) { return 0.5f * (1.f + erf_of(x * 0.70710678f, bell)); }
