// Loops that every level compiles for its own instruction set; the compiler makes vectors of them.

// Outputs stay in registers while all inputs pass by: merged kernels are some thousand outputs of few inputs, which would
// else be written and read again for each.
void linear(const float* x, int64_t in, const float* weight, const float* bias, int64_t out, float* y) {
  constexpr int64_t kBlock = 64;
  int64_t first = 0;
  for (; first + kBlock <= out; first += kBlock) {
    float sum[kBlock];
    for (int64_t o = 0; o < kBlock; ++o) sum[o] = bias != nullptr ? bias[first + o] : 0;
    for (int64_t i = 0; i < in; ++i) {
      const float* w = weight + i * out + first;
      for (int64_t o = 0; o < kBlock; ++o) sum[o] += x[i] * w[o];
    }
    for (int64_t o = 0; o < kBlock; ++o) y[first + o] = sum[o];
  }
  for (int64_t o = first; o < out; ++o) y[o] = bias != nullptr ? bias[o] : 0;
  for (int64_t i = 0; i < in; ++i, weight += out) {
    for (int64_t o = first; o < out; ++o) y[o] += x[i] * weight[o];
  }
}

float total(const float* x, int64_t count) {
  constexpr int64_t kSums = 32;  // that do not wait for each other
  float sum[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (int64_t l = 0; l < kSums; ++l) sum[l] += x[i + l];
  }
  for (; i < count; ++i) sum[i % kSums] += x[i];
  for (int64_t step = kSums / 2; step > 0; step /= 2) {
    for (int64_t l = 0; l < step; ++l) sum[l] += sum[l + step];
  }
  return sum[0];
}
