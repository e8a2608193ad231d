#pragma once
// A file's bytes where the system keeps them: read when touched, shared between processes.
#include <memory>
#include <string>
#include <string_view>

namespace gw::inline base {

/// Read-only mapping of a whole file. What is written to the file afterwards by others may show; a file that
/// shrinks while it is mapped ends the process with SIGBUS, as with every reader of this kind.
class MappedFile {
 public:
  /// Errors: IoError with the path and the system's reason; ValueError for what is no regular file.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::string_view bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace gw::inline base
