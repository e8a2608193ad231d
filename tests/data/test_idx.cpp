#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <new>

#include "gatewright/base/rng.h"
#include "gatewright/data/gzip.h"
#include "gatewright/data/idx.h"
#include "tests/data/temp_directory.h"
#include "tests/fuzz/check_idx.h"
#include "tests/fuzz/replay.h"

namespace gw::test::idx_cases {

class Gzip : public TempDirectory {};
class Idx : public TempDirectory {};

std::string noise(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(gw::Rng(1).bits(i));
  return bytes;
}

TEST_F(Gzip, InflatesWhatZlibDeflated) {
  for (const auto& content : {std::string(), std::string("a"), std::string(300000, 'a'), noise(200000)}) {
    EXPECT_EQ(gw::inflate_gzip(gzip(content), content.size(), "t"), content);
    EXPECT_EQ(
        gw::inflate_gzip(gzip(content) + gzip("tail") + std::string(512, '\0'), content.size() + 4, "t"),
        content + "tail");
  }
  EXPECT_EQ(gw::inflate_gzip("plain", 5, "t"), "plain");
  EXPECT_EQ(gw::read_gzip(file("a.gz", gzip("hello")), 100), "hello");
  EXPECT_EQ(gw::read_gzip(file("a", "hello"), 100), "hello");
}

TEST_F(Gzip, EveryTruncationIsNamed) {
  const std::string packed = gzip(noise(1000));
  for (size_t size = 2; size < packed.size(); ++size) {
    const std::string message =
        value_error_of([&] { gw::inflate_gzip(packed.substr(0, size), 4000, "train.gz"); });
    EXPECT_NE(message.find("gzip \"train.gz\""), std::string::npos);
    EXPECT_NE(message.find("cut short"), std::string::npos) << size << ": " << message;
  }
}

TEST_F(Gzip, CorruptionIsNamed) {
  const std::string packed = gzip(noise(1000));
  for (const size_t position :
       {size_t{2}, size_t{3}, packed.size() / 2, packed.size() - 5, packed.size() - 1}) {
    std::string bad = packed;
    bad[position] = static_cast<char>(bad[position] ^ 0xFF);
    EXPECT_NE(value_error_of([&] { gw::inflate_gzip(bad, 4000, "train.gz"); }).find("gzip \"train.gz\""),
              std::string::npos)
        << position;
  }
  const std::string trailing = value_error_of([&] { gw::inflate_gzip(packed + "junk", 4000, "train.gz"); });
  EXPECT_NE(trailing.find("got 4 bytes"), std::string::npos) << trailing;
}

/// Caps the address space at `spare_bytes` above what is used now: a larger allocation throws std::bad_alloc.
class MemoryCap {
 public:
  explicit MemoryCap(uint64_t spare_bytes) {
    getrlimit(RLIMIT_AS, &before_);
    std::ifstream statm("/proc/self/statm");
    uint64_t pages = 0;
    statm >> pages;
    const rlimit cap{pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + spare_bytes, before_.rlim_max};
    setrlimit(RLIMIT_AS, &cap);
  }
  ~MemoryCap() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

TEST_F(Gzip, ABombStopsAtTheLimit) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer reserves terabytes of address space";
#endif
  const std::string member = gzip(std::string(1 << 20, '\0'));
  std::string bomb;
  for (int i = 0; i < 512; ++i) bomb += member;
  ASSERT_LT(bomb.size(), 1000000u);
  {
    const MemoryCap cap(uint64_t{64} << 20);
    EXPECT_THROW(std::string(size_t{256} << 20, 'x'), std::bad_alloc) << "the cap must bite";
    const std::string message = value_error_of([&] { gw::inflate_gzip(bomb, 4 << 20, "bomb.gz"); });
    EXPECT_NE(message.find("at most 4194304 bytes"), std::string::npos) << message;
  }
  bomb.resize(4 * member.size());
  EXPECT_EQ(gw::inflate_gzip(bomb, 4 << 20, "t").size(), size_t{4} << 20) << "exactly the limit is fine";
  EXPECT_THROW(gw::inflate_gzip(bomb, (4 << 20) - 1, "t"), gw::ValueError);
}

TEST_F(Idx, ReadsPlainAndPacked) {
  const std::string bytes = idx({2, 3, 4}, noise(24));
  for (const auto& path : {file("a", bytes), file("b.gz", gzip(bytes))}) {
    const at::Tensor array = gw::load_idx(path, 3, 1000);
    EXPECT_EQ(array.sizes(), (std::vector<int64_t>{2, 3, 4}));
    EXPECT_EQ(array.scalar_type(), at::kByte);
    EXPECT_EQ(std::string(static_cast<char*>(array.data_ptr()), 24), noise(24));
  }
}

TEST_F(Idx, NamesWhatIsWrong) {
  const auto message = [](const std::string& bytes, int64_t dims = 0) {
    return value_error_of([&] { gw::parse_idx(bytes, dims, "train"); });
  };
  const auto expect = [&](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  expect(message(""), "idx \"train\": expected at least 4 bytes, got 0");
  expect(message("PNG..."), "got 50 4e");
  expect(message(std::string("\0\0\x0d\x01\0\0\0\x01....", 12)), "got 0x0d");
  expect(message(idx({3}, "abc"), 3), "expected 3 dimensions, got 1");
  expect(message(idx({}, "abc")), "expected 1 to 8 dimensions, got 0");
  expect(message(std::string("\0\0\x08\xFF", 4) + std::string(2000, 'a')), "got 255");
  expect(message(std::string("\0\0\x08\x03\0\0", 6)), "expected a header of 16 bytes, got 6");
  expect(message(idx({2, 2}, "abc")), "expected 2·2 or more bytes of content, got 3");
  expect(message(idx({2, 2}, "abcde")), "expected 4 bytes of content, got 5");
  expect(message(idx({0, 2}, "")), "got 0");
}

TEST_F(Idx, AbsurdSizesAllocateNothing) {
  const std::string huge = idx({4294967295u, 4294967295u, 4294967295u, 4294967295u, 4294967295u, 4294967295u,
                                4294967295u, 4294967295u},
                               "abc");
  EXPECT_THROW(gw::parse_idx(huge, 0, "t"), gw::ValueError);
  EXPECT_THROW(gw::parse_idx(idx({65536, 65536, 65536, 65536}, ""), 0, "t"), gw::ValueError)
      << "the product is 0 modulo 2^64";
  EXPECT_THROW(gw::parse_idx(idx({2147483648u}, "abc"), 0, "t"), gw::ValueError);
}

TEST(IdxFuzz, CorpusAndItsMutationsAreReadOrRefused) {
  const auto counts =
      gw::test::replay("idx", 2000, [](std::string_view bytes) { return gw::test::check_idx(bytes); });
  EXPECT_GE(counts.accepted, 20) << "mutations that are still valid exercise the reader beyond its header";
  EXPECT_GE(counts.refused, 500);
}

}  // namespace gw::test::idx_cases
