// Body of every level: a plain loop, which the compiler turns into vectors. Included inside the anonymous
// namespace.
void move(const AdamStep& step, int64_t n, const float* __restrict gradient, float* __restrict value,
          float* __restrict first, float* __restrict second) {
  const AdamStep s = step;
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient[i], m = __builtin_fmaf(s.beta1, first[i], s.rest1 * g),
                v = __builtin_fmaf(s.beta2, second[i], s.rest2 * g * g);
    first[i] = m, second[i] = v;
    value[i] = __builtin_fmaf(-s.rate, m / __builtin_fmaf(s.root, __builtin_sqrtf(v), s.epsilon), value[i]);
  }
}
