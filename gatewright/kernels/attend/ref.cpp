// The reference: vectors of one value; fused steps are a function's calls where the processor has none.
#include "gatewright/kernels/attend/attend.h"

namespace gw::kernels {
namespace {

constexpr int64_t kLanes = 1, kVectors = 4;
using Vector = float;

inline Vector load(const float* p) { return *p; }
inline Vector load(const Bf16* p) { return __builtin_bit_cast(float, static_cast<uint32_t>(p->bits) << 16); }
inline void store(float* p, Vector v) { *p = v; }
inline Vector same(float value) { return value; }
inline Vector fma(Vector a, Vector b, Vector c) { return __builtin_fmaf(a, b, c); }
inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }
inline Vector smaller(Vector a, Vector b) { return a < b ? a : b; }
inline void transpose(Vector (&)[1]) {}

#include "gatewright/kernels/attend/wide.inl"

}  // namespace

const AttendTable attend_ref{attend<float>, attend<Bf16>, turn_all<float>, turn_all<Bf16>};

}  // namespace gw::kernels
