#include "gatewright/data/image_source.h"

#include <cstring>

namespace gw::inline data {

KeptImages::KeptImages(std::unique_ptr<const ImageSource> inner, int64_t most_bytes)
    : ImageSource(inner->shape(), inner->size()),
      inner_(std::move(inner)),
      most_(most_bytes / shape().bytes()),
      images_(static_cast<size_t>(size())) {}

KeptImages::~KeptImages() {
  for (const auto& image : images_) delete[] image.load();
}

void KeptImages::read(int64_t number, uint8_t* planes) const {
  auto& place = images_[static_cast<size_t>(number)];
  const auto bytes = static_cast<size_t>(shape().bytes());
  if (const auto* image = place.load(std::memory_order_acquire)) {
    std::memcpy(planes, image, bytes);
    return;
  }
  inner_->read(number, planes);
  if (kept_.fetch_add(1) >= most_) {
    kept_.fetch_sub(1);
    return;
  }
  auto copy = std::make_unique<uint8_t[]>(bytes);
  std::memcpy(copy.get(), planes, bytes);
  uint8_t* none = nullptr;
  // Another thread may have read the same image meanwhile: its copy stays.
  if (place.compare_exchange_strong(none, copy.get(), std::memory_order_acq_rel)) {
    copy.release();
  } else {
    kept_.fetch_sub(1);
  }
}

}  // namespace gw::inline data
