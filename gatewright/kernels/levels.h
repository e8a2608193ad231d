#pragma once
// The usual levels of a family in f32: what each asks of the processor, said once.
#include <type_traits>
#include <vector>

#include "gatewright/base/cpu_info.h"
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/cuda/level.h"

// The table of an x86-64 level: on other processors its file is empty, and the level is listed as missing.
#if defined(__x86_64__)
#define GW_X86_TABLE(table) (&(table))
#else
#define GW_X86_TABLE(table) nullptr
#endif

// Likewise of an AArch64 level, which other processors do not list.
#if defined(__aarch64__)
#define GW_ARM_TABLE(table) (&(table))
#else
#define GW_ARM_TABLE(table) nullptr
#endif

namespace gw::kernels {

/// One level that only x86-64 has. `available`: what the processor says; `needs`: what a refusal names.
template <class Table>
typename KernelFamily<Table>::Level x86_level(const char* name, bool available, const char* needs,
                                              const std::type_identity_t<Table>* table) {
  if (table == nullptr) return {{name, false, "not an x86-64 build"}, nullptr};
  return {{name, available, needs}, table};
}

/// ref, avx2 (AVX2 and FMA), avx512 (AVX512F).
template <class Table>
std::vector<typename KernelFamily<Table>::Level> usual_levels(const Table* ref,
                                                              const std::type_identity_t<Table>* avx2,
                                                              const std::type_identity_t<Table>* avx512) {
  const auto& cpu = cpu_info();
  return {{{"ref", true, ""}, ref},
          x86_level<Table>("avx2", cpu.avx2 && cpu.fma, "needs AVX2 and FMA", avx2),
          x86_level<Table>("avx512", cpu.avx512f, "needs AVX512F", avx512)};
}

/// `levels` and an AArch64 level, better than those before it.
template <class Table>
std::vector<typename KernelFamily<Table>::Level> with_neon(
    std::vector<typename KernelFamily<Table>::Level> levels, const std::type_identity_t<Table>* table,
    const char* name = "neon", bool available = true, const char* needs = "needs AArch64") {
  if (table != nullptr) levels.push_back({{name, available, needs}, table});
  return levels;
}

/// `levels` and the CUDA level, listed so that `gatewright doctor` says why it is not taken.
template <class Level>
std::vector<Level> with_cuda(std::vector<Level> levels) {
  levels.push_back({cuda_level(), nullptr});
  return levels;
}

}  // namespace gw::kernels
