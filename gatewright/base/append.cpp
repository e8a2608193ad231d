#include "gatewright/base/append.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/base/crc32c.h"
#include "gatewright/base/file.h"
#include "gatewright/base/json.h"
#include "gatewright/base/shown.h"

namespace gw::inline base {
namespace {

constexpr const char* kRemedy =
    "restore the file from a copy, or train again into another directory; the checkpoints beside it are kept";

[[noreturn]] void fail_log(const std::string& path, const char* expected, int code) {
  throw IoError(fmt::format("file \"{}\": expected to {}, got \"{}\"; {}", shown(path), expected,
                            std::strerror(code), remedy_of(code, /*reading=*/false)));
}

/// The checksum of the first `bytes` of a file; none if it has fewer. Reads pieces: a log may be larger than
/// the memory.
std::optional<uint32_t> sum_of(const std::string& path, uint64_t bytes) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail_log(path, "read it", errno);
  std::vector<char> piece(1 << 20);
  uint32_t sum = 0;
  while (bytes > 0) {
    const ssize_t got = ::read(file, piece.data(), std::min<uint64_t>(bytes, piece.size()));
    if (got < 0 && errno == EINTR) continue;
    const int code = errno;
    if (got <= 0) ::close(file);
    if (got < 0) fail_log(path, "read it", code);
    if (got == 0) return std::nullopt;
    sum = crc32c({piece.data(), static_cast<size_t>(got)}, sum);
    bytes -= static_cast<uint64_t>(got);
  }
  ::close(file);
  return sum;
}

}  // namespace

Json to_json(const LogMark& mark) {
  Json json{{"bytes", mark.bytes}};
  if (mark.crc32c) json["crc32c"] = fmt::format("{:08x}", *mark.crc32c);
  return json;
}

LogMark log_mark(const Json& json, const std::string& name) {
  const auto wrong = [&] {
    fail(
        "checkpoint: expected the length of {} and its checksum, got something else; the checkpoint is "
        "damaged",
        name);
  };
  if (!json.is_object() || !json.contains("bytes") || !json["bytes"].is_number_unsigned()) wrong();
  LogMark mark{json["bytes"].get<uint64_t>(), std::nullopt};
  if (!json.contains("crc32c")) return mark;
  const auto text = json["crc32c"].is_string() ? json["crc32c"].get<std::string>() : std::string();
  if (text.size() != 8 || text.find_first_not_of("0123456789abcdef") != std::string::npos) wrong();
  mark.crc32c = static_cast<uint32_t>(std::stoul(text, nullptr, 16));
  return mark;
}

LogFile::LogFile(std::string path)
    : path_(std::move(path)),
      file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644)) {
  if (file_ < 0) fail_log(path_, "append to it", errno);
  struct stat info {};
  if (::fstat(file_, &info) == 0) bytes_ = static_cast<uint64_t>(info.st_size);
  if (bytes_ == 0) sum_ = 0;
}

LogFile::~LogFile() { ::close(file_); }

void LogFile::append(std::string_view bytes) {
  if (sum_) sum_ = crc32c(bytes, *sum_);
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_log(path_, "append to it", errno);
    bytes.remove_prefix(static_cast<size_t>(written));
    bytes_ += static_cast<uint64_t>(written);
  }
}

LogMark LogFile::mark() {
  if (::fdatasync(file_) != 0 && errno != EINVAL && errno != EROFS)
    fail_log(path_, "flush it", errno);  // a pipe cannot be flushed
  if (!sum_) sum_ = sum_of(path_, bytes_);
  return {bytes_, sum_};
}

void check_log(const std::string& path, const LogMark& mark) {
  struct stat info {};
  const bool there = ::stat(path.c_str(), &info) == 0;
  const uint64_t bytes = there ? static_cast<uint64_t>(info.st_size) : 0;
  GW_CHECK(there,
           "run directory: expected {}, which had {} bytes at the last checkpoint, got no such file; {}",
           shown(path), mark.bytes, kRemedy);
  GW_CHECK(bytes >= mark.bytes,
           "run directory: expected {} to have the {} bytes that it had at the last checkpoint, got {}; it "
           "was cut: {}",
           shown(path), mark.bytes, bytes, kRemedy);
  if (!mark.crc32c) return;
  const auto sum = sum_of(path, mark.bytes);
  GW_CHECK(sum == mark.crc32c,
           "run directory: expected the first {} bytes of {} as they were at the last checkpoint (checksum "
           "{:08x}), got others ({:08x}); {}",
           mark.bytes, shown(path), *mark.crc32c, sum.value_or(0), kRemedy);
}

void cut_log(const std::string& path, uint64_t bytes) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (file < 0) fail_log(path, "cut it", errno);
  const int result = ::ftruncate(file, static_cast<off_t>(bytes)), code = errno;
  ::close(file);
  if (result != 0) fail_log(path, "cut it", code);
}

}  // namespace gw::inline base
