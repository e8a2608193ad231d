#include "gatewright/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <utility>

#include "gatewright/base/check.h"

namespace gw::inline base {
namespace {

[[noreturn]] void fail_io(const std::string& path, const char* expected, int code, bool reading = false) {
  const std::string reason = std::generic_category().message(code);
  throw IoError(fmt::format("file \"{}\": expected to {}, got \"{}\"; {}", path, expected, reason,
                            remedy_of(code, reading)));
}

/// Repeats a call that a signal interrupted.
template <class Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  /// Network file systems report a full disk only here, so the result counts. Never repeated: the descriptor
  /// is gone either way.
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

class DescriptorWriter : public FileWriter {
 public:
  DescriptorWriter(const std::string& path, int fd) : path_(path), fd_(fd) {}
  void write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const size_t piece =
          std::min<size_t>(bytes.size(), size_t{1} << 30);  // Linux writes at most 2 GiB - 4 KiB at once
      const auto done = uninterrupted([&] { return ::write(fd_, bytes.data(), piece); });
      if (done < 0) fail_io(path_, "write it", errno);
      bytes.remove_prefix(static_cast<size_t>(done));
    }
  }

 private:
  const std::string& path_;
  int fd_;
};

/// A file beside the target that vanishes unless it took the target's place.
class Temporary {
 public:
  explicit Temporary(const std::string& target) : target_(target) {
    static std::atomic<unsigned> counter{0};
    do {  // a name is taken only if a crashed process with our number left it behind
      name_ = fmt::format("{}.{}-{}.tmp", target, ::getpid(), counter++);
      fd_ =
          uninterrupted([&] { return ::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
    } while (fd_ < 0 && errno == EEXIST);
    if (fd_ < 0) fail_io(target, "create it", errno);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (!name_.empty()) ::unlink(name_.c_str());
  }
  int fd() const { return fd_; }
  void replace_target() {
    if (::rename(name_.c_str(), target_.c_str()) != 0) fail_io(target_, "replace it", errno);
    name_.clear();
  }

 private:
  const std::string& target_;
  std::string name_;
  int fd_ = -1;
};

/// Makes the rename itself survive a power cut.
void sync_directory_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  Descriptor fd(uninterrupted([&] { return ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (fd.get() < 0 && errno == EACCES) return;  // a directory may be writable and not readable
  if (fd.get() < 0) fail_io(path, "open its directory", errno);
  const int result = uninterrupted([&] { return ::fsync(fd.get()); });
  if (result != 0 && errno != EINVAL && errno != ENOTSUP)
    fail_io(path, "flush its directory", errno);  // some file systems cannot
}

void write_in_place(const std::string& path, const std::function<void(FileWriter&)>& content) {
  Descriptor fd(uninterrupted([&] { return ::open(path.c_str(), O_WRONLY | O_CLOEXEC); }));
  if (fd.get() < 0) fail_io(path, "open it", errno);
  DescriptorWriter writer(path, fd.get());
  content(writer);
  if (fd.close() != 0) fail_io(path, "close it", errno);
}

/// The place to write to: `path`, or what it points at where that is a device or a pipe or the link is the
/// system's.
std::string resolved(const std::string& path) {
  struct stat link {
  }, target_info{};
  if (::lstat(path.c_str(), &link) != 0 || !S_ISLNK(link.st_mode)) return path;
  const bool of_system = path.rfind("/dev/", 0) == 0 || path.rfind("/proc/", 0) == 0;
  const bool there = ::stat(path.c_str(), &target_info) == 0;
  if (!of_system && (!there || S_ISREG(target_info.st_mode))) return path;
  const std::unique_ptr<char, decltype(&std::free)> target(::realpath(path.c_str(), nullptr), &std::free);
  if (target == nullptr) fail_io(path, "follow the link", errno);
  return target.get();
}

}  // namespace

const char* remedy_of(int code, bool reading) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return "free space there or choose another directory";
    case EFBIG:
      return "raise the limit on file sizes (ulimit -f) or choose another file system";
    case EACCES:
    case EPERM:
      return "give this user permission or choose another place";
    case EROFS:
      return "choose a directory that is not mounted read-only";
    case ENOENT:
      return reading ? "check the path" : "check the path and create its directory first";
    case ENOTDIR:
      return "a part of the path is a file: choose another path";
    case EISDIR:
      return "give the path of a file";
    case ENAMETOOLONG:
      return "choose a shorter name";
    case ELOOP:
      return "remove the symbolic link: outputs are not written through links";
    case EMFILE:
    case ENFILE:
      return "raise the limit on open files (ulimit -n)";
    default:
      return "check the disk and the path";
  }
}

std::string read_file(const std::string& path, uint64_t limit_bytes) {
  limit_bytes = std::min(limit_bytes, UINT64_MAX / 4);  // sums below cannot overflow
  Descriptor fd(uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (fd.get() < 0) fail_io(path, "open it", errno, true);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) fail_io(path, "read its size", errno);
  const uint64_t size = S_ISREG(info.st_mode) ? static_cast<uint64_t>(info.st_size) : 0;
  GW_CHECK(size <= limit_bytes, "file \"{}\": expected at most {} bytes, got {}; is it the right file?", path,
           limit_bytes, size);
  constexpr uint64_t kPiece =
      65536;  // pipes and /proc have no size: grow as bytes arrive; one byte more than the size shows the end
  std::string bytes;
  uint64_t filled = 0;
  while (true) {
    if (filled == bytes.size())
      bytes.resize(filled == 0 ? std::max(size + 1, kPiece) : std::min(filled * 2, limit_bytes + 1));
    const size_t piece = std::min<uint64_t>(bytes.size() - filled, uint64_t{1} << 30);
    const auto got = uninterrupted([&] { return ::read(fd.get(), bytes.data() + filled, piece); });
    if (got < 0) fail_io(path, "read it", errno);
    if (got == 0) break;
    filled += static_cast<uint64_t>(got);
    GW_CHECK(filled <= limit_bytes, "file \"{}\": expected at most {} bytes, got more; is it the right file?",
             path, limit_bytes);
  }
  bytes.resize(filled);
  return bytes;
}

void write_atomic(const std::string& path, const std::function<void(FileWriter&)>& content) {
  const std::string target = resolved(path);
  struct stat old {};
  const bool exists = ::lstat(target.c_str(), &old) == 0 && !S_ISLNK(old.st_mode);
  if (exists && S_ISDIR(old.st_mode)) fail_io(path, "write it", EISDIR);
  if (exists && !S_ISREG(old.st_mode)) return write_in_place(target, content);
  Temporary temporary(target);
  Descriptor fd(temporary.fd());
  // Before any byte is there, so that private content is never readable to others. A file system without
  // modes may refuse.
  if (exists && ::fchmod(fd.get(), old.st_mode & 07777) != 0 && errno != EPERM && errno != ENOTSUP)
    fail_io(path, "set its mode", errno);
  DescriptorWriter writer(target, fd.get());
  content(writer);
  if (uninterrupted([&] { return ::fsync(fd.get()); }) != 0) fail_io(path, "flush it", errno);
  if (fd.close() != 0) fail_io(path, "close it", errno);
  temporary.replace_target();
  sync_directory_of(target);
}

void write_atomic(const std::string& path, std::string_view bytes) {
  write_atomic(path, [&](FileWriter& writer) { writer.write(bytes); });
}

}  // namespace gw::inline base
