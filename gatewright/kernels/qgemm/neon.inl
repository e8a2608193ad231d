// What the AArch64 levels share: loads of codes. Included inside a level's unnamed namespace.

// Half 0 or 1 of a quad of stored codes, [16 lanes][4 k], a byte each.
template <int64_t kBits>
inline const uint8_t* half_of(const uint8_t* quad, int64_t half) {
  return kBits == 8 ? quad + half * 64 : quad;
}
template <int64_t kBits>
inline uint8x16_t code_bytes(uint8x16_t stored, int64_t half) {
  if (kBits == 8) return stored;
  return half == 0 ? vandq_u8(stored, vdupq_n_u8(15)) : vshrq_n_u8(stored, 4);
}

void expand(const uint8_t* from, int64_t steps, uint8_t* to) {
  for (int64_t i = 0; i < steps * kQgemmStepBytes / 2; i += 16) {
    const uint8x16_t v = vld1q_u8(from + i);
    uint8_t* both = to + i / 64 * 128 + i % 64;
    vst1q_u8(both, code_bytes<4>(v, 0));
    vst1q_u8(both + 64, code_bytes<4>(v, 1));
  }
}

// sums += float(accumulators - total)·by·scale of four lanes.
inline void finish(int32x4_t accumulators, int32_t total, float by, const float* scale, float* sums) {
  const float32x4_t exact = vcvtq_f32_s32(vsubq_s32(accumulators, vdupq_n_s32(total)));
  vst1q_f32(sums, vfmaq_f32(vld1q_f32(sums), vmulq_n_f32(exact, by), vld1q_f32(scale)));
}

// Rows at a time are Step::kMost<bytes>: sums of 16 lanes that fit 32 registers beside codes and q.

/// `Step::add<bytes, bits, M>(row, codes, half, sums)` adds 64 k; `Step::total` is what it owes of a row's
/// total.
template <class Step, int64_t kBytes, int64_t kBits, int64_t M>
void some_rows(const QuantisedRows& rows, const QuantisedPanel& p, float* to) {
  constexpr int64_t bytes = kQgemmStepBytes * kBits / 8;
  for (int64_t first = 0, block = 0; first < p.steps; first += p.block, ++block) {
    const int64_t end = first + p.block < p.steps ? first + p.block : p.steps;
    for (int64_t half = 0; half < 2; ++half) {
      typename Step::template Sums<kBytes, M> sums{};
      for (int64_t s = first; s < end; ++s)
        Step::template add<kBytes, kBits, M>(rows.data + s * kRowStep, p.codes + s * bytes, half, sums);
#pragma GCC unroll 4
      for (int64_t r = 0; r < M; ++r) {
        const int64_t at = block * kPanelBytes / kBytes + r;
#pragma GCC unroll 4
        for (int64_t v = 0; v < 4; ++v) {
          const int64_t lane = half * 16 + v * 4;
          finish(Step::template value<kBytes, M>(sums, r, v), Step::template total<kBytes>(rows.totals[at]),
                 rows.scales[at], p.scales + first / p.group * kQgemmLanes + lane,
                 to + r * kQgemmLanes + lane);
        }
      }
    }
  }
}

template <class Step, int64_t kBytes, int64_t kBits, int64_t M = Step::template kMost<kBytes>>
void up_to(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  if constexpr (M > 1) {
    if (m < M) return up_to<Step, kBytes, kBits, M - 1>(rows, p, m, sums);
  }
  some_rows<Step, kBytes, kBits, M>(rows, p, sums);
}

template <class Step, int64_t kBytes, int64_t kBits>
void all_rows(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  constexpr int64_t most = Step::template kMost<kBytes>;
  for (int64_t r = 0; r < m; r += most) {
    const QuantisedRows part{kBytes, rows.data + r * kBytes * kQgemmStep, rows.scales + r, rows.totals + r};
    up_to<Step, kBytes, kBits>(part, p, m - r < most ? m - r : most, sums + r * kQgemmLanes);
  }
}

template <class Step>
void tile_of(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  if (rows.bytes == 2) return all_rows<Step, 2, 8>(rows, p, m, sums);
  p.bits == 4 ? all_rows<Step, 1, 4>(rows, p, m, sums) : all_rows<Step, 1, 8>(rows, p, m, sums);
}
