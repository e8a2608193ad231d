// AArch64: the plain loops, compiled for it.
#include "gatewright/kernels/moe_ffn/rows.h"

#if defined(__aarch64__)

namespace gw::kernels {
namespace {

// Through the caches: the architecture only hints at anything else.
inline void store_non_temporal(const void* from, void* to) { __builtin_memcpy(to, from, 32); }
void store_fence() {}
#include "gatewright/kernels/wide_math.inl"
#include "gatewright/kernels/moe_ffn/rows.inl"

}  // namespace

const FfnRowsTable<float> ffn_rows_neon = table<float>();
const FfnRowsTable<Bf16> ffn_rows_neon_bf16 = table<Bf16>();

}  // namespace gw::kernels
#endif
