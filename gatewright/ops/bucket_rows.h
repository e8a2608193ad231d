#pragma once
// Which rows of which bucket a chunk of them holds: of bucket_norm.cpp.
#include <ATen/core/Tensor.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

namespace gw::ops {

// Rows whose sums are taken in the type of the data before they are combined in f64: at most a factor 257 of
// f32's precision is lost (gatewright/kernels/bucket_norm/bucket_norm.h), and the partial sums are 1 % of the
// data.
constexpr int64_t kChunkRows = 256;
constexpr int64_t kValuesPerTask =
    32768;  // as at::internal::GRAIN_SIZE: below it a second thread costs more than it brings

/// The rows of all buckets one after the other, cut into chunks that do not depend on how rows are spread
/// over buckets.
class BucketRows {
 public:
  explicit BucketRows(at::TensorList buckets) : channels_(buckets.front().size(1)) {
    for (const auto& bucket : buckets) offsets_.push_back(offsets_.back() + bucket.numel() / channels_);
  }
  int64_t channels() const { return channels_; }
  int64_t total() const { return offsets_.back(); }
  int64_t chunks() const { return (total() + kChunkRows - 1) / kChunkRows; }
  int64_t rows_of(int64_t chunk) const { return std::min(kChunkRows, total() - chunk * kChunkRows); }
  int64_t begin_of(size_t bucket) const { return offsets_[bucket]; }

  /// body(chunk) for every chunk on all threads; each thread walks its share upwards or downwards.
  template <class Body>
  void each_chunk(bool downwards, const Body& body) const {
    const int64_t grain = std::max<int64_t>(1, kValuesPerTask / (kChunkRows * channels_));
    at::parallel_for(0, chunks(), grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(downwards ? end - 1 - (i - begin) : i);
    });
  }
  /// body(bucket, first value in the bucket, rows) for the pieces of a chunk, in order.
  template <class Body>
  void each_piece(int64_t chunk, const Body& body) const {
    int64_t row = chunk * kChunkRows;
    const int64_t end = row + rows_of(chunk);
    auto bucket =
        static_cast<size_t>(std::upper_bound(offsets_.begin(), offsets_.end(), row) - offsets_.begin()) - 1;
    for (; row < end; ++bucket) {
      const int64_t stop = std::min(end, offsets_[bucket + 1]);
      if (stop > row) body(bucket, (row - offsets_[bucket]) * channels_, stop - row);
      row = stop;
    }
  }

 private:
  int64_t channels_;
  std::vector<int64_t> offsets_{0};
};

}  // namespace gw::ops
