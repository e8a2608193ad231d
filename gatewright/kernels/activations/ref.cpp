// The reference: the library's functions, in double and float; and what is said about each activation.
#include <cmath>

#include "gatewright/kernels/activations/mittag_leffler.h"
#include "gatewright/kernels/activations/unit.h"

namespace gw::kernels {
namespace {

template <class S>
S exp_of(S x) {
  return std::exp(x);
}
template <class S>
S expm1_of(S x) {
  return std::expm1(x);
}
template <class S>
S log1p_of(S x) {
  return std::log1p(x);
}
template <class S>
S tanh_of(S x) {
  return std::tanh(x);
}
template <class S>
S atan_of(S x) {
  return std::atan(x);
}
template <class S>
S sin_of(S x) {
  return std::sin(x);
}
template <class S>
S cos_of(S x) {
  return std::cos(x);
}
template <class S>
S sqrt_of(S x) {
  return std::sqrt(x);
}
/// erf(x), and e^-x².
template <class S>
S erf_of(S x, S& bell) {
  bell = std::exp(-x * x);
  return std::erf(x);
}
/// Φ(x), and e^(-x²/2).
template <class S>
S normal_of(S x, S& bell) {
  bell = std::exp(S(-0.5) * x * x);
  return S(0.5) * std::erfc(-x / S(1.41421356237309504880));
}

#include "gatewright/kernels/activations/rows.inl"

template <class... U>
struct Infos {
  static constexpr UnitInfo all[] = {U::kInfo...};
};
template <class... U>
constexpr const UnitInfo* infos_of(Units<U...>) {
  return Infos<U...>::all;
}

}  // namespace

const UnitTable<double> units_ref_f64 = table_of<double>(AllUnits{});
const UnitTable<float> units_ref = table_of<float>(AllUnits{});
const UnitInfo* const unit_infos = infos_of(AllUnits{});

}  // namespace gw::kernels
