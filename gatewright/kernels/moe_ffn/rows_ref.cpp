// The reference: the library's exp and erf.
#include "gatewright/kernels/moe_ffn/rows.h"

#include <cmath>
#include <cstring>

namespace gw::kernels {
namespace {

inline float exp_of(float x) { return std::exp(x); }
inline double exp_of(double x) { return std::exp(x); }
template <class S>
S erf_of(S x, S& bell) {
  bell = std::exp(-x * x);
  return std::erf(x);
}
inline void store_non_temporal(const void* from, void* to) { std::memcpy(to, from, 32); }
void store_fence() {}
#include "gatewright/kernels/moe_ffn/rows.inl"

}  // namespace

const FfnRowsTable<double> ffn_rows_ref_f64 = table<double>();
const FfnRowsTable<float> ffn_rows_ref = table<float>();
const FfnRowsTable<Bf16> ffn_rows_ref_bf16 = table<Bf16>();

}  // namespace gw::kernels
