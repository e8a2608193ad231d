#include "base/append.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file.h"

namespace gw {
namespace {

[[noreturn]] void fail_append(const std::string& path, int code) {
  throw IoError(
      fmt::format("file \"{}\": expected to append to it, got \"{}\"; {}", path, std::strerror(code), remedy_of(code, /*reading=*/false)));
}

}  // namespace

int open_for_append(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) fail_append(path, errno);
  return file;
}

void append_bytes(int file, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_append(path, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace gw
