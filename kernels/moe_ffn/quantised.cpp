#include <vector>

#include "kernels/moe_ffn/blocks.h"

namespace gw::kernels {
namespace {

void store(const Bf16& v, int8_t& to) {
  const uint32_t bits = static_cast<uint32_t>(v.bits) << 16;
  to = static_cast<int8_t>(__builtin_bit_cast(float, bits));
}
void store(const float& v, int8_t& to) { to = static_cast<int8_t>(v); }
void store(const double& v, int8_t& to) { to = static_cast<int8_t>(v); }

void load(int8_t code, Bf16& to) { to.bits = static_cast<uint16_t>(__builtin_bit_cast(uint32_t, static_cast<float>(code)) >> 16); }
void load(int8_t code, float& to) { to = code; }
void load(int8_t code, double& to) { to = code; }

// 64 codes as 32 bytes.
void pack_halves(const int8_t* codes, uint8_t* to) {
  for (int64_t i = 0; i < 32; ++i) to[i] = static_cast<uint8_t>((codes[i] + 8) | (codes[32 + i] + 8) << 4);
}

}  // namespace

template <class T>
QuantisedSize<T> quantised_size(const GemmTable<T>& gemm, int64_t experts, int64_t lanes, int64_t k, int64_t bits, int64_t group) {
  const int64_t panels = experts * ceil_div(lanes, gemm.cols), panel = ceil_div(ceil_div(k, gemm.group) * gemm.group * gemm.cols, 64) * 64;
  return {panels * panel * bits / 8, panels * ceil_div(k, group) * gemm.cols};
}

// Small integers are exact in every T: the order of a panel is taken from the packing that products use.
template <class T>
void quantise_panels(const GemmTable<T>& gemm, const int8_t* codes, const float* scales, int64_t experts, int64_t lanes, int64_t k, int64_t bits,
                     int64_t group, uint8_t* to_codes, float* to_scales, Team& team) {
  const int64_t panels = ceil_div(lanes, gemm.cols), groups = ceil_div(k, group);
  const auto one = quantised_size(gemm, 1, gemm.cols, k, bits, group);
  team.run(experts * panels, [&](int64_t task, int) {
    const int64_t expert = task / panels, lane0 = task % panels * gemm.cols, count = std::min(gemm.cols, lanes - lane0);
    std::vector<T> values(static_cast<size_t>(count * k)), panel(static_cast<size_t>(one.code_bytes * 8 / bits));
    std::vector<const T*> rows;
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = 0; j < k; ++j) load(codes[(expert * lanes + lane0 + i) * k + j], values[static_cast<size_t>(i * k + j)]);
      rows.push_back(values.data() + i * k);
    }
    gemm.pack_k(rows.data(), count, gemm.cols, k, panel.data());
    std::vector<int8_t> ordered(panel.size());
    for (size_t i = 0; i < panel.size(); ++i) store(panel[i], ordered[i]);
    uint8_t* to = to_codes + task * one.code_bytes;
    for (int64_t i = 0; i < static_cast<int64_t>(ordered.size()); i += 64) {
      if (bits == 4) pack_halves(ordered.data() + i, to + i / 2);
      else std::copy_n(reinterpret_cast<const uint8_t*>(ordered.data()) + i, 64, to + i);
    }
    float* scale = to_scales + task * one.scales;
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t i = 0; i < gemm.cols; ++i) scale[g * gemm.cols + i] = i < count ? scales[(expert * lanes + lane0 + i) * groups + g] : 0;
    }
  });
}

#define GW_INSTANTIATE(T)                                                                                            \
  template QuantisedSize<T> quantised_size<T>(const GemmTable<T>&, int64_t, int64_t, int64_t, int64_t, int64_t);    \
  template void quantise_panels<T>(const GemmTable<T>&, const int8_t*, const float*, int64_t, int64_t, int64_t, int64_t, int64_t, uint8_t*, float*, Team&);
GW_INSTANTIATE(double)
GW_INSTANTIATE(float)
GW_INSTANTIATE(Bf16)
#undef GW_INSTANTIATE

}  // namespace gw::kernels
