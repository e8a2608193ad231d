#pragma once
// Columns of doubles as the kernels like them.
#include <cstddef>
#include <new>
#include <vector>

namespace gw::likelihood {

/// Memory that begins on a line of the caches: vectors of 64 bytes that straddle two lines make an iteration
/// a quarter slower.
template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};
  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
  void deallocate(T* pointer, size_t) { ::operator delete(pointer, kLine); }
  void construct(T*) const {}  ///< elements without a value stay uncleared
  void construct(T* at, const T& value) const { *at = value; }
  bool operator==(const LineAllocator&) const { return true; }
};

using AlignedVector = std::vector<double, LineAllocator<double>>;

}  // namespace gw::likelihood
