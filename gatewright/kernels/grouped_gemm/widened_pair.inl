// bf16 without a bf16 instruction: a pair is widened to two f32 vectors. Needs Units, Vector and, per level,
// shift_up(Units), upper_half(Units) (both as Vector) and fma.
struct Factor {
  Vector even, odd;
};
inline Factor prepare(Units pair) { return {shift_up(pair), upper_half(pair)}; }
inline Vector dot(Vector sums, const Factor& a, const Factor& b) {
  return fma(a.odd, b.odd, fma(a.even, b.even, sums));
}
