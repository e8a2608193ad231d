// bf16 without a bf16 instruction: a pair is widened to two f32 vectors. Needs Units, Sums and, per level, shift_up(Units), upper_half(Units)
// (both as Sums) and fma.
struct Factor {
  Sums even, odd;
};
inline Factor prepare(Units pair) { return {shift_up(pair), upper_half(pair)}; }
inline Sums dot(Sums sums, const Factor& a, const Factor& b) { return fma(a.odd, b.odd, fma(a.even, b.even, sums)); }
