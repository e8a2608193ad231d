#pragma once
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"

namespace gw::test {

/// A directory of its own per test, gone afterwards.
class TempDirectory : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "gw_data_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string file(const std::string& name, std::string_view bytes) const {
    gw::write_atomic(directory_ + "/" + name, bytes);
    return directory_ + "/" + name;
  }
  std::string directory_;
};

inline std::string gzip(const std::string& bytes) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// An IDX header with the given sizes, as the format's authors describe it.
inline std::string idx(std::initializer_list<uint32_t> sizes, const std::string& content) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(sizes.size())};
  for (const uint32_t size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift);
  }
  return bytes + content;
}

template <class Call>
std::string value_error_of(Call call) {
  try {
    call();
  } catch (const gw::ValueError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no ValueError";
  return "";
}

}  // namespace gw::test
