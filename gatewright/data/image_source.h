#pragma once
// Images that stay where they are until a batch wants them.
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gw::inline data {

/// The images of a set whose field "image" holds their numbers [n] int64 in place of pixels.
class ImageSource {
 public:
  struct Shape {
    int64_t channels = 0, height = 0, width = 0;
    int64_t bytes() const { return channels * height * width; }
  };
  ImageSource(const Shape& shape, int64_t size) : shape_(shape), size_(size) {}
  virtual ~ImageSource() = default;
  const Shape& shape() const { return shape_; }
  int64_t size() const { return size_; }
  /// Planes [C, H, W] of image `number`, below size(). Several threads may read at once.
  /// Errors: ValueError naming a file that is damaged, IoError for one that cannot be read.
  virtual void read(int64_t number, uint8_t* planes) const = 0;

 private:
  Shape shape_;
  int64_t size_;
};

/// What `inner` gives, the first images that are read kept in memory until `most_bytes` are used; the others
/// are read anew each time. Nothing is ever dropped: an epoch in random order would find little of what the
/// last one left in a cache of the latest.
class KeptImages : public ImageSource {
 public:
  KeptImages(std::unique_ptr<const ImageSource> inner, int64_t most_bytes);
  ~KeptImages() override;
  KeptImages(const KeptImages&) = delete;
  KeptImages& operator=(const KeptImages&) = delete;
  void read(int64_t number, uint8_t* planes) const override;
  int64_t kept() const { return kept_.load(); }

 private:
  std::unique_ptr<const ImageSource> inner_;
  int64_t most_;
  mutable std::atomic<int64_t> kept_{0};
  mutable std::vector<std::atomic<uint8_t*>> images_;
};

}  // namespace gw::inline data
