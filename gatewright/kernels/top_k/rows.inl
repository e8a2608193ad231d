// Bodies of the vector levels: 16 lanes beside each other as plain arrays, which the compiler turns into
// vectors. Included inside the anonymous namespace after exp_of(float). A row is padded with -inf to a
// multiple of 16 lanes, so that no loop has a tail.
constexpr int64_t kLanes = 16, kStack = 1024;
constexpr float kNone = -__builtin_inff();

inline float largest(const float* row, int64_t padded) {
  float lanes[kLanes];
  for (int64_t j = 0; j < kLanes; ++j) lanes[j] = row[j];
  for (int64_t i = kLanes; i < padded; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] = row[i + j] > lanes[j] ? row[i + j] : lanes[j];
  }
  float best = lanes[0];
  for (int64_t j = 1; j < kLanes; ++j) best = lanes[j] > best ? lanes[j] : best;
  return best;
}

inline bool holds_nan(const float* row, int64_t padded) {
  int32_t lanes[kLanes] = {};
  for (int64_t i = 0; i < padded; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] |= row[i + j] != row[i + j] ? 1 : 0;
  }
  int32_t any = 0;
  for (const auto lane : lanes) any |= lane;
  return any != 0;
}

// Sums of 16 lanes, added in a fixed order: the same bits at every level.
inline float sum_exp(const float* row, int64_t padded, float top) {
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < padded; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += row[i + j] == kNone ? 0.f : exp_of(row[i + j] - top);
  }
  for (int64_t width = 8; width > 0; width /= 2) {
    for (int64_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  }
  return lanes[0];
}

// Takes the first place of `value`; among -inf the first that was not taken.
inline int64_t take_first(float* row, uint8_t* taken, int64_t experts, float value) {
  int64_t e = 0;
  while (e < experts && (taken[e] != 0 || row[e] != value)) ++e;
  taken[e] = 1;
  row[e] = kNone;
  return e;
}

inline float weigh(float score, Score f, float top, float total) {
  if (f == Score::identity) return score;
  if (f == Score::sigmoid)
    return score < -88.72283f
               ? 0.f
               : 1.f / (1.f + exp_of(-score));  // exp_of saturates there, so that -inf would weigh 3e-39
  return score == kNone ? 0.f : exp_of(score - top) / total;
}

inline void renormalise_row(float* weight, int64_t k) {
  float sum = 0;
  for (int64_t j = 0; j < k; ++j) sum += weight[j];
  for (int64_t j = 0; j < k && sum != 0; ++j) weight[j] /= sum;
}

int64_t run(const float* scores, int64_t rows, int64_t experts, int64_t k, Score f, bool renormalise,
            int64_t* expert, float* weight) {
  const int64_t padded = (experts + kLanes - 1) / kLanes * kLanes;
  alignas(64) float stack_row[kStack];
  uint8_t stack_taken[kStack];
  float* row = padded <= kStack ? stack_row : new float[static_cast<unsigned long>(padded)];
  uint8_t* taken = padded <= kStack ? stack_taken : new uint8_t[static_cast<unsigned long>(padded)];
  int64_t bad = -1;
  for (int64_t r = 0; r < rows && bad < 0; ++r, scores += experts, expert += k, weight += k) {
    __builtin_memcpy(row, scores, static_cast<unsigned long>(experts) * sizeof(float));
    for (int64_t i = experts; i < padded; ++i) row[i] = kNone;
    __builtin_memset(taken, 0, static_cast<unsigned long>(experts));
    if (holds_nan(row, padded)) {
      bad = r;
      break;
    }
    const float top = largest(row, padded), total = f == Score::softmax ? sum_exp(row, padded, top) : 1.f;
    for (int64_t j = 0; j < k; ++j) {
      const float value = j == 0 ? top : largest(row, padded);
      expert[j] = take_first(row, taken, experts, value);
      weight[j] = weigh(value, f, top, total);
    }
    if (renormalise) renormalise_row(weight, k);
  }
  if (padded > kStack) delete[] row, delete[] taken;
  return bad;
}
