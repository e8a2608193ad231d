#include "gatewright/runs/tensorboard.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/base/crc32c.h"

namespace gw::inline runs {
namespace {

constexpr size_t kFrameHead = 12, kFrameTail = 4;

uint32_t masked_crc(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xA282EAD8u; }

/// `size` bytes of `value`, little endian whatever the machine.
std::string little_endian(uint64_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
  return bytes;
}

uint64_t read_little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i)
    value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return value;
}

/// Protobuf's wire format, as far as events need it. Plain numbers that are 0 are left out, as proto3 does; a
/// float32 here is always one of a `oneof`, which is written even if 0.
class Message {
 public:
  Message& varint(int field, uint64_t value) {
    if (value == 0) return *this;
    key(field, 0);
    raw_varint(value);
    return *this;
  }
  Message& float64(int field, double value) {
    if (std::bit_cast<uint64_t>(value) == 0) return *this;
    key(field, 1);
    bytes_ += little_endian(std::bit_cast<uint64_t>(value), 8);
    return *this;
  }
  Message& float32(int field, float value) {
    key(field, 5);
    bytes_ += little_endian(std::bit_cast<uint32_t>(value), 4);
    return *this;
  }
  Message& text(int field, std::string_view value) {
    key(field, 2);
    raw_varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& packed(int field, const std::vector<double>& values) {
    std::string body;
    for (double value : values) body += little_endian(std::bit_cast<uint64_t>(value), 8);
    return text(field, body);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void key(int field, int wire_type) { raw_varint(static_cast<uint64_t>(field << 3 | wire_type)); }
  void raw_varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>(value | 0x80));
    bytes_.push_back(static_cast<char>(value));
  }
  std::string bytes_;
};

/// An Event with one Summary.Value: wall_time = 1, step = 2, summary = 5 with value = 1.
std::string summary_event(double wall_time_s, int64_t step, const Message& value) {
  Message summary, event;
  summary.text(1, value.bytes());
  event.float64(1, wall_time_s).varint(2, static_cast<uint64_t>(step)).text(5, summary.bytes());
  return event.bytes();
}

uint64_t take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    GW_CHECK(
        !bytes.empty(),
        "event: expected a protobuf message, got bytes that end inside a number; the event file is damaged");
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (!(byte & 0x80)) return value;
  }
  fail("event: expected a protobuf message, got a number of more than 64 bits; the event file is damaged");
}

void skip(std::string_view& bytes, uint64_t size) {
  GW_CHECK(size <= bytes.size(),
           "event: expected a protobuf message, got a field that ends beyond it; the event file is damaged");
  bytes.remove_prefix(size);
}

/// Length of the whole frame at the start of `file`, or 0 if it is cut or its checksums do not hold.
size_t frame_size(std::string_view file) {
  if (file.size() < kFrameHead + kFrameTail) return 0;
  const uint64_t length = read_little_endian(file.substr(0, 8));
  if (read_little_endian(file.substr(8, 4)) != masked_crc(file.substr(0, 8))) return 0;
  if (length > file.size() - kFrameHead - kFrameTail) return 0;
  const auto body = file.substr(kFrameHead, length);
  if (read_little_endian(file.substr(kFrameHead + length, 4)) != masked_crc(body)) return 0;
  return kFrameHead + length + kFrameTail;
}

}  // namespace

std::string tfrecord_frame(std::string_view bytes) {
  std::string head = little_endian(bytes.size(), 8);
  std::string frame = head + little_endian(masked_crc(head), 4);
  frame += bytes;
  return frame + little_endian(masked_crc(bytes), 4);
}

Histogram make_histogram(const std::vector<float>& values, int buckets) {
  GW_CHECK(buckets >= 1, "histogram: expected at least 1 bucket, got {}; give a positive number", buckets);
  Histogram h;
  h.min = std::numeric_limits<double>::infinity();
  h.max = -h.min;
  for (float value : values) {
    if (!std::isfinite(value)) continue;
    h.min = std::min<double>(h.min, value);
    h.max = std::max<double>(h.max, value);
    h.count += 1;
    h.sum += value;
    h.sum_of_squares += static_cast<double>(value) * value;
  }
  if (h.count == 0) return Histogram{};
  const int n = h.min == h.max ? 1 : buckets;
  const double width = (h.max - h.min) / n;
  for (int i = 1; i <= n; ++i) h.limits.push_back(i == n ? h.max : h.min + width * i);
  h.counts.assign(static_cast<size_t>(n), 0);
  for (float value : values) {
    if (!std::isfinite(value)) continue;
    const int bucket = n == 1 ? 0 : std::min(n - 1, static_cast<int>((value - h.min) / width));
    h.counts[static_cast<size_t>(bucket)] += 1;
  }
  return h;
}

std::string encode_version_event(double wall_time_s) {
  Message event;
  return event.float64(1, wall_time_s).text(3, "brain.Event:2").bytes();
}

std::string encode_scalar_event(double wall_time_s, int64_t step, std::string_view tag, float value) {
  Message summary_value;
  return summary_event(wall_time_s, step, summary_value.text(1, tag).float32(2, value));
}

std::string encode_histogram_event(double wall_time_s, int64_t step, std::string_view tag,
                                   const Histogram& h) {
  Message histogram, summary_value;
  histogram.float64(1, h.min)
      .float64(2, h.max)
      .float64(3, h.count)
      .float64(4, h.sum)
      .float64(5, h.sum_of_squares);
  histogram.packed(6, h.limits).packed(7, h.counts);
  return summary_event(wall_time_s, step, summary_value.text(1, tag).text(5, histogram.bytes()));
}

int64_t event_step(std::string_view event) {
  while (!event.empty()) {
    const uint64_t key = take_varint(event);
    const int wire_type = static_cast<int>(key & 7);
    if (wire_type == 0) {
      const uint64_t value = take_varint(event);
      if (key >> 3 == 2) return static_cast<int64_t>(value);
    } else if (wire_type == 1 || wire_type == 5) {
      skip(event, wire_type == 1 ? 8 : 4);
    } else {
      GW_CHECK(wire_type == 2,
               "event: expected a protobuf message, got wire type {}; the event file is damaged", wire_type);
      skip(event, take_varint(event));
    }
  }
  return 0;
}

uint64_t whole_frames(std::string_view file) {
  uint64_t bytes = 0;
  while (const size_t size = frame_size(file.substr(bytes))) bytes += size;
  return bytes;
}

EventWriter::EventWriter(const std::string& path, double wall_time_s) : file_(path) {
  if (file_.bytes() == 0) file_.append(tfrecord_frame(encode_version_event(wall_time_s)));
}

void EventWriter::scalar(double wall_time_s, int64_t step, std::string_view tag, float value) {
  file_.append(tfrecord_frame(encode_scalar_event(wall_time_s, step, tag, value)));
}

void EventWriter::histogram(double wall_time_s, int64_t step, std::string_view tag,
                            const std::vector<float>& values) {
  const Histogram h = make_histogram(values);
  if (h.count > 0) file_.append(tfrecord_frame(encode_histogram_event(wall_time_s, step, tag, h)));
}

}  // namespace gw::inline runs
