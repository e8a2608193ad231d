#include "gatewright/data/idx.h"

#include <ATen/ops/empty.h>

#include <cstring>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/data/gzip.h"

namespace gw::inline data {
namespace {

constexpr unsigned kUnsignedByte = 0x08;
constexpr int64_t kMaxDims = 8;

unsigned byte_at(std::string_view bytes, size_t i) { return static_cast<unsigned char>(bytes[i]); }

int64_t big_endian(std::string_view bytes, size_t i) {
  return static_cast<int64_t>(byte_at(bytes, i) << 24 | byte_at(bytes, i + 1) << 16 |
                              byte_at(bytes, i + 2) << 8 | byte_at(bytes, i + 3));
}

/// Checks the four bytes that say what the file is; returns the number of dimensions, `dims` unless that is
/// 0.
int64_t parse_rank(std::string_view bytes, int64_t dims, const std::string& name) {
  GW_CHECK(bytes.size() >= 4, "idx \"{}\": expected at least 4 bytes, got {}; the file is empty or cut short",
           name, bytes.size());
  const bool magic = byte_at(bytes, 0) == 0 && byte_at(bytes, 1) == 0;
  GW_CHECK(magic, "idx \"{}\": expected two zero bytes at the start, got {:02x} {:02x}; this is no IDX file",
           name, byte_at(bytes, 0), byte_at(bytes, 1));
  const unsigned type = byte_at(bytes, 2);
  GW_CHECK(type == kUnsignedByte,
           "idx \"{}\": expected type 0x08 (unsigned bytes), got 0x{:02x}; other types are not read", name,
           type);
  const auto rank = static_cast<int64_t>(byte_at(bytes, 3));
  if (dims > 0)
    GW_CHECK(rank == dims, "idx \"{}\": expected {} dimensions, got {}; are images and labels swapped?", name,
             dims, rank);
  GW_CHECK(rank >= 1 && rank <= kMaxDims, "idx \"{}\": expected 1 to {} dimensions, got {}", name, kMaxDims,
           rank);
  return rank;
}

}  // namespace

at::Tensor parse_idx(std::string_view bytes, int64_t dims, const std::string& name) {
  const int64_t rank = parse_rank(bytes, dims, name);
  const auto header = static_cast<size_t>(4 + 4 * rank);
  GW_CHECK(bytes.size() >= header, "idx \"{}\": expected a header of {} bytes, got {}; the file is cut short",
           name, header, bytes.size());

  const auto present = static_cast<int64_t>(bytes.size() - header);
  std::vector<int64_t> shape;
  int64_t count = 1;
  for (int64_t i = 0; i < rank; ++i) {
    shape.push_back(big_endian(bytes, static_cast<size_t>(4 + 4 * i)));
    // Division instead of a product: eight sizes of 32 bits overflow 64. A size of zero is refused, no array
    // has one.
    GW_CHECK(shape.back() > 0, "idx \"{}\": expected size {} to be positive, got 0", name, i);
    GW_CHECK(count <= present / shape.back(),
             "idx \"{}\": expected {}·{} or more bytes of content, got {}; the file is cut short or its "
             "sizes are wrong",
             name, count, shape.back(), present);
    count *= shape.back();
  }
  GW_CHECK(count == present,
           "idx \"{}\": expected {} bytes of content, got {}; bytes are left over: the file is damaged", name,
           count, present);
  at::Tensor array = at::empty(shape, at::kByte);
  std::memcpy(array.data_ptr<uint8_t>(), bytes.data() + header, static_cast<size_t>(count));
  return array;
}

at::Tensor load_idx(const std::string& path, int64_t dims, uint64_t limit_bytes) {
  return parse_idx(read_gzip(path, limit_bytes), dims, path);
}

}  // namespace gw::inline data
