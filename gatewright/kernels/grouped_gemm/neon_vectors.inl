// Vectors of 4 for the AArch64 levels. A tile is 12 rows × 2 vectors of sums: 24 of 32 registers.
constexpr int64_t kLanes = 4, kTileRows = 12;
using Vector = float32x4_t;
using Units = uint32x4_t;

inline Vector load_sums(const float* p) { return vld1q_f32(p); }
inline Vector zero_sums() { return vdupq_n_f32(0); }
inline void store_sums(float* p, Vector v) { vst1q_f32(p, v); }
inline void store_past(float* p, Vector v) { vst1q_f32(p, v); }  // the architecture only hints at it
inline Units load_units(const uint32_t* p) { return vld1q_u32(p); }
inline Units zero_units() { return vdupq_n_u32(0); }
inline Units broadcast_unit(const uint32_t* p) { return vld1q_dup_u32(p); }
inline void store_units(uint32_t* p, Units v, int64_t count) {
  if (count == kLanes) return vst1q_u32(p, v);
  uint32_t all[kLanes];
  vst1q_u32(all, v);
  std::memcpy(p, all, static_cast<size_t>(count) * 4);
}

inline void transpose(Units (&r)[kLanes]) {
  const uint32x4x2_t low = vtrnq_u32(r[0], r[1]), high = vtrnq_u32(r[2], r[3]);
  for (int i = 0; i < 2; ++i) {
    r[i] = vcombine_u32(vget_low_u32(low.val[i]), vget_low_u32(high.val[i]));
    r[i + 2] = vcombine_u32(vget_high_u32(low.val[i]), vget_high_u32(high.val[i]));
  }
}
