#include "gatewright/data/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <new>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"

namespace gw::inline data {
namespace {

class Inflater {
 public:
  Inflater() {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK)
      throw std::bad_alloc();  // 15: largest window, 16: gzip framing only
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream_); }

  /// Appends one member's content to `out`; removes the member from `in`.
  void member(std::string_view& in, std::string& out, uint64_t limit_bytes, const std::string& name) {
    inflateReset(&stream_);
    int status = Z_OK;
    while (status != Z_STREAM_END) {
      if (filled_ == out.size()) grow(out, limit_bytes, name);
      const auto in_piece = static_cast<uInt>(std::min<size_t>(in.size(), kPiece));
      const auto out_piece = static_cast<uInt>(std::min<size_t>(out.size() - filled_, kPiece));
      stream_.next_in = reinterpret_cast<Bytef*>(
          const_cast<char*>(in.data()));  // zlib's C interface: it does not write there
      stream_.avail_in = in_piece;
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + filled_);
      stream_.avail_out = out_piece;
      status = inflate(&stream_, Z_NO_FLUSH);
      if (status == Z_MEM_ERROR) throw std::bad_alloc();
      const bool sound = status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR;
      GW_CHECK(sound, "gzip \"{}\": expected valid data, got {}; the file is damaged: get it again", name,
               stream_.msg != nullptr ? stream_.msg : "a preset dictionary");
      in.remove_prefix(in_piece - stream_.avail_in);
      filled_ += out_piece - stream_.avail_out;
      const bool starved = status != Z_STREAM_END && in.empty() && stream_.avail_out > 0;
      GW_CHECK(!starved,
               "gzip \"{}\": expected more data, got its end after {} bytes of content; the file is cut "
               "short: get it again",
               name, filled_);
    }
  }

  uint64_t filled() const { return filled_; }

 private:
  static constexpr size_t kPiece = size_t{1} << 30;  // zlib counts in 32 bits

  void grow(std::string& out, uint64_t limit_bytes, const std::string& name) {
    GW_CHECK(filled_ <= limit_bytes,
             "gzip \"{}\": expected at most {} bytes of content, got more; is it the right file?", name,
             limit_bytes);
    // One byte above the limit tells "exactly the limit" from "more".
    out.resize(std::min<uint64_t>(std::max<uint64_t>(filled_ * 2, 65536), limit_bytes + 1));
  }

  z_stream stream_{};
  uint64_t filled_ = 0;
};

}  // namespace

bool is_gzip(std::string_view bytes) { return bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b'; }

std::string inflate_gzip(std::string_view bytes, uint64_t limit_bytes, const std::string& name) {
  GW_CHECK(limit_bytes < UINT64_MAX / 4, "gzip \"{}\": expected a limit below 2^62 bytes, got {}", name,
           limit_bytes);
  std::string out;
  if (is_gzip(bytes)) {
    Inflater inflater;
    std::string_view rest = bytes;
    while (is_gzip(rest)) inflater.member(rest, out, limit_bytes, name);
    const bool clean =
        std::all_of(rest.begin(), rest.end(), [](char c) { return c == 0; });  // tapes pad with zeros
    GW_CHECK(clean,
             "gzip \"{}\": expected nothing after the last member, got {} bytes; the file is damaged: get it "
             "again",
             name, rest.size());
    out.resize(inflater.filled());
  } else {
    GW_CHECK(bytes.size() <= limit_bytes,
             "gzip \"{}\": expected at most {} bytes, got {}; is it the right file?", name, limit_bytes,
             bytes.size());
    out = std::string(bytes);
  }
  GW_CHECK(out.size() <= limit_bytes,
           "gzip \"{}\": expected at most {} bytes of content, got more; is it the right file?", name,
           limit_bytes);
  return out;
}

std::string read_gzip(const std::string& path, uint64_t limit_bytes) {
  GW_CHECK(limit_bytes < UINT64_MAX / 4, "gzip \"{}\": expected a limit below 2^62 bytes, got {}", path,
           limit_bytes);
  // Data that cannot be compressed grows by 5 bytes in 16 KiB at most, plus a header.
  return inflate_gzip(read_file(path, limit_bytes + limit_bytes / 1024 + 65536), limit_bytes, path);
}

}  // namespace gw::inline data
