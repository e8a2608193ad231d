#pragma once
// Rows in pieces of fixed size: the pieces depend on the number of rows alone, and partial results are
// combined in their order, so that the number of threads changes no bit.
#include <algorithm>
#include <cstdint>
#include <exception>
#include <vector>

#include "gatewright/likelihood/thread_pool.h"

namespace gw::likelihood {

/// Pieces of whole blocks: at least `kLeastRows`, which take 10 µs of an iteration where waking a thread
/// takes 4, and at most `kMaxChunks` of them, so that partial sums stay small for any number of rows.
struct Chunks {
  static constexpr int64_t kBlockRows = 256, kLeastRows = 2 * kBlockRows, kMaxChunks = 64;
  int64_t rows = 0, size = kLeastRows;

  explicit Chunks(int64_t n) : rows(n) {
    const int64_t blocks = (n + kBlockRows - 1) / kBlockRows;
    size = std::max(kLeastRows, (blocks + kMaxChunks - 1) / kMaxChunks * kBlockRows);
  }
  int64_t count() const { return (rows + size - 1) / size; }
  int64_t begin(int64_t chunk) const { return chunk * size; }
  int64_t end(int64_t chunk) const { return std::min(rows, (chunk + 1) * size); }
};

/// Calls body(i) for i in [0, count), in parallel, by the pool if there is one; the first exception by index
/// is thrown after all have ended.
template <class Body>
void parallel_for(int64_t count, Body body) {
  std::vector<std::exception_ptr> errors(static_cast<size_t>(count));
  auto guarded = [&](int64_t i) {
    try {
      body(i);
    } catch (...) {  // an exception may not leave a parallel region
      errors[static_cast<size_t>(i)] = std::current_exception();
    }
  };
  if (ThreadPool* pool = ThreadPool::current(); pool != nullptr && count > 1) {
    pool->run(
        count, [](void* call, int64_t i) { (*static_cast<decltype(guarded)*>(call))(i); }, &guarded);
  } else {
#pragma omp parallel for schedule(dynamic, 1) if (count > 1)
    for (int64_t i = 0; i < count; ++i) guarded(i);
  }
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

/// The sum of body(begin, end) over the chunks of n rows, added in order.
template <class Body>
double sum_rows(int64_t n, Body body) {
  const Chunks chunks(n);
  std::vector<double> parts(static_cast<size_t>(chunks.count()), 0.0);
  parallel_for(chunks.count(),
               [&](int64_t c) { parts[static_cast<size_t>(c)] = body(chunks.begin(c), chunks.end(c)); });
  double total = 0;
  for (const double part : parts) total += part;
  return total;
}

}  // namespace gw::likelihood
