#pragma once
// Which rows of which bucket a chunk of them holds: of bucket_norm.cpp.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <vector>

namespace gw::ops {

// Rows whose sums are taken in the type of the data before they are combined in f64: at most a factor 257 of
// f32's precision is lost (gatewright/kernels/bucket_norm/bucket_norm.h), and the partial sums are 1 % of the
// data.
constexpr int64_t kChunkRows = 256;
constexpr int64_t kValuesPerTask =
    32768;  // as at::internal::GRAIN_SIZE: below it a second thread costs more than it brings

// Values of a plane whose sums are taken in f32: 16 lanes of them add 256 each.
constexpr int64_t kMostPlaneRows = 4096;
// Beyond it a row of channels fills the lanes as well, and libtorch's convolutions want channels last.
constexpr int64_t kMostPlaneChannels = 16;

/// Maps of few channels lie as they come, in planes, if all agree on their size.
inline bool bucket_planes(at::TensorList buckets) {
  const auto& first = buckets.front();
  if (first.dim() != 4 || first.size(1) > kMostPlaneChannels) return false;
  const int64_t pixels = first.size(2) * first.size(3);
  return pixels > 1 && pixels <= kMostPlaneRows &&
         std::all_of(buckets.begin(), buckets.end(), [&](const auto& x) {
           return x.dim() == 4 && x.size(2) * x.size(3) == pixels && x.is_contiguous();
         });
}

/// The rows of all buckets one after the other, cut into chunks that do not depend on how rows are spread
/// over buckets: 256 rows, or with planes one image.
class BucketRows {
 public:
  BucketRows(at::TensorList buckets, bool planes) : planes_(planes), channels_(buckets.front().size(1)) {
    if (planes) chunk_rows_ = buckets.front().size(2) * buckets.front().size(3);
    for (const auto& bucket : buckets) offsets_.push_back(offsets_.back() + bucket.numel() / channels_);
  }
  int64_t channels() const { return channels_; }
  int64_t total() const { return offsets_.back(); }
  bool planes() const { return planes_; }
  int64_t chunks() const { return (total() + chunk_rows_ - 1) / chunk_rows_; }
  int64_t rows_of(int64_t chunk) const { return std::min(chunk_rows_, total() - chunk * chunk_rows_); }
  bool starts_chunk(size_t bucket, int64_t at) const {
    return (offsets_[bucket] + at / channels_) % chunk_rows_ == 0;
  }
  /// Bytes of ReLU mask before value `at` of a bucket: of rows, or of planes.
  int64_t mask_bytes_before(size_t bucket, int64_t at) const {
    const int64_t rows = offsets_[bucket] + at / channels_;
    return planes_ ? rows / chunk_rows_ * channels_ * mask_bytes(chunk_rows_) : rows * mask_bytes(channels_);
  }
  int64_t mask_bytes_of_all() const { return mask_bytes_before(offsets_.size() - 1, 0); }

  /// body(chunk) for every chunk on all threads; each thread walks its share upwards or downwards.
  template <class Body>
  void each_chunk(bool downwards, const Body& body) const {
    const int64_t grain = std::max<int64_t>(1, kValuesPerTask / (chunk_rows_ * channels_));
    at::parallel_for(0, chunks(), grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(downwards ? end - 1 - (i - begin) : i);
    });
  }
  /// body(bucket, first value in the bucket, rows) for the pieces of a chunk, in order.
  template <class Body>
  void each_piece(int64_t chunk, const Body& body) const {
    int64_t row = chunk * chunk_rows_;
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
  static int64_t mask_bytes(int64_t values);

  bool planes_;
  int64_t channels_, chunk_rows_ = kChunkRows;
  std::vector<int64_t> offsets_{0};
};

}  // namespace gw::ops
