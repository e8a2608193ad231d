// Loops that every level compiles for its own instruction set; the compiler makes vectors of them.

void linear(const float* x, int64_t in, const float* weight, const float* bias, int64_t out, float* y) {
  for (int64_t o = 0; o < out; ++o) y[o] = bias != nullptr ? bias[o] : 0;
  for (int64_t i = 0; i < in; ++i, weight += out) {
    for (int64_t o = 0; o < out; ++o) y[o] += x[i] * weight[o];
  }
}

// A block of all experts' kernels stays in the first cache while the images pass by.
void merge(const PlaneMerge& m) {
  constexpr int64_t kBlock = 64;
  for (int64_t first = 0; first < m.values; first += kBlock) {
    const int64_t count = m.values - first < kBlock ? m.values - first : kBlock;
    for (int64_t i = 0; i < m.images; ++i) {
      const float* share = m.share + i * m.share_next;
      const float* kernel = m.kernel + first;
      float* to = m.to + i * m.to_next + first;
      if (count < kBlock) {
        for (int64_t p = 0; p < count; ++p) {
          float sum = 0;
          for (int64_t e = 0; e < m.experts; ++e) sum += share[e] * kernel[e * m.values + p];
          to[p] = sum;
        }
        continue;
      }
      float sum[kBlock] = {};
      for (int64_t e = 0; e < m.experts; ++e) {
        for (int64_t p = 0; p < kBlock; ++p) sum[p] += share[e] * kernel[e * m.values + p];
      }
      for (int64_t p = 0; p < kBlock; ++p) to[p] = sum[p];
    }
  }
}

float total(const float* x, int64_t count) {
  constexpr int64_t kSumLanes = 16;
  float sum[kSumLanes] = {};
  int64_t i = 0;
  for (; i + kSumLanes <= count; i += kSumLanes) {
    for (int64_t l = 0; l < kSumLanes; ++l) sum[l] += x[i + l];
  }
  for (; i < count; ++i) sum[i % kSumLanes] += x[i];
  for (int64_t step = kSumLanes / 2; step > 0; step /= 2) {
    for (int64_t l = 0; l < step; ++l) sum[l] += sum[l + step];
  }
  return sum[0];
}
