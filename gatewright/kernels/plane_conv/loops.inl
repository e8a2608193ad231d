// Loops that every level compiles for its own instruction set; the compiler makes vectors of them.

void linear(const float* x, int64_t in, const float* weight, const float* bias, int64_t out, float* y) {
  for (int64_t o = 0; o < out; ++o) y[o] = bias != nullptr ? bias[o] : 0;
  for (int64_t i = 0; i < in; ++i, weight += out) {
    for (int64_t o = 0; o < out; ++o) y[o] += x[i] * weight[o];
  }
}
