#include "gatewright/data/cifar.h"

#include <ATen/ops/empty.h>

#include <cstring>

#include "gatewright/base/check.h"
#include "gatewright/data/gzip.h"

namespace gw::inline data {
namespace {

constexpr int64_t kCifarChannels = 3, kCifarSide = 32, kCifarBytes = kCifarChannels * kCifarSide * kCifarSide;
constexpr uint64_t kCifarLimit_bytes = uint64_t{512}
                                       << 20;  // three times the largest published file (154 MB)

}  // namespace

TensorSet read_cifar(const std::string& part, const std::string& path, const CifarRecords& records) {
  const std::string bytes = read_gzip(path, kCifarLimit_bytes);
  const auto size = static_cast<int64_t>(bytes.size());
  const int64_t record_bytes = records.labels + kCifarBytes;
  GW_CHECK(
      size > 0 && size % record_bytes == 0,
      "{}: expected records of {} bytes in \"{}\", got {} bytes ({} left over); the file is cut short or "
      "no binary batch",
      part, record_bytes, path, size, size % record_bytes);
  const int64_t count = size / record_bytes;
  const auto images = at::empty({count, kCifarChannels, kCifarSide, kCifarSide}, at::kByte),
             labels = at::empty({count}, at::kLong);
  auto* image = images.data_ptr<uint8_t>();
  auto* label = labels.data_ptr<int64_t>();
  for (int64_t i = 0; i < count; ++i) {
    const char* record = bytes.data() + i * record_bytes;
    label[i] = static_cast<unsigned char>(record[records.label]);
    GW_CHECK(label[i] < records.classes, "{}: expected labels below {} in \"{}\", got {} at record {}", part,
             records.classes, path, label[i], i);
    std::memcpy(image + i * kCifarBytes, record + records.labels, static_cast<size_t>(kCifarBytes));
  }
  return labelled_images(images, labels);
}

}  // namespace gw::inline data
