#include "gatewright/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"

namespace gw::inline base {
namespace {

[[noreturn]] void refuse(const std::string& path, int code) {
  throw IoError(fmt::format("file \"{}\": expected to open it, got \"{}\"; {}", path,
                            std::generic_category().message(code), remedy_of(code, true)));
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) refuse(path, errno);
  struct stat about {};
  if (::fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
    ::close(file);
    fail("{}: expected a regular file, got something else", path);
  }
  size_ = static_cast<size_t>(about.st_size);
  if (size_ > 0) {
    void* at = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    const int code = errno;
    if (at == MAP_FAILED) {
      ::close(file);
      refuse(path, code);
    }
    data_ = static_cast<const char*>(at);
  }
  ::close(file);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

}  // namespace gw::inline base
