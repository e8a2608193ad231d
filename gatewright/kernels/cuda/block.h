#pragma once
// How the CUDA levels are written: a body is what a block of threads does, in phases with a barrier after
// each. The same text is compiled by nvcc, where threads are threads, and by the host's compiler, where
// tests/support/cuda_emulator.h runs them one after the other: a machine without a GPU tests it.
//
// A body has kThreads, the structs Shared (of the block) and Private (of a thread, kept from phase to phase;
// both begin undefined), and
//   template <class Block> GW_DEVICE void operator()(Block& block) const;
// which calls block.index() and
//   block.each([&](int thread, Private& mine, Shared& shared) {…});       a phase of all threads
//   block.each_warp([&](int warp, Private& mine, Shared& shared) {…});    a phase in which a warp acts as one
//   (warp_tile.h)
// What a thread writes in a phase, others read from the next phase on. Outside of phases a body sees only its
// own fields and constant memory: all threads take the same way there, and a value read from `shared` between
// phases could have been overwritten by a faster thread.
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define GW_DEVICE __device__
#else
#define GW_DEVICE
#endif

namespace gw::kernels::cuda {

inline constexpr int kWarp = 32;

GW_DEVICE inline float exp_of(float x) { return expf(x); }
GW_DEVICE inline float erf_of(float x, float& bell) {
  bell = expf(-x * x);
  return erff(x);
}

/// Adds one and returns what was there. The only atomic operation of these levels, on counts: no sum of
/// values depends on who came first.
GW_DEVICE inline int64_t count_up(int64_t* counter) {
#if defined(__CUDA_ARCH__)
  return static_cast<int64_t>(atomicAdd(reinterpret_cast<unsigned long long*>(counter), 1ull));
#else
  return (*counter)++;
#endif
}

/// For bodies that keep nothing.
struct Nothing {};

/// Folds the `width` (a power of two) places of an array in shared memory into the first, in the order of a
/// tree: combine(shared, i, j) takes j into i.
template <class Block, class Combine>
GW_DEVICE void fold(Block& block, int width, const Combine& combine) {
  for (int half = width / 2; half > 0; half /= 2) {
    block.each([&](int thread, auto&, auto& shared) {
      if (thread < half) combine(shared, thread, thread + half);
    });
  }
}

}  // namespace gw::kernels::cuda
