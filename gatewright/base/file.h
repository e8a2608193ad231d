#pragma once
// Whole files in, whole files out: a reader never sees half a file, and a failed write never costs the old
// one.
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace gw::inline base {

/// Where the callback of `write_atomic` sends the content, piece by piece.
class FileWriter {
 public:
  virtual ~FileWriter() = default;
  virtual void write(std::string_view bytes) = 0;
};

/// The bytes of a file.
/// Errors: IoError with the path, the system's reason and the remedy; ValueError if the file holds more than
///         `limit_bytes`.
/// Cost:   never allocates more than the smaller of the file and the limit (plus 64 KiB).
std::string read_file(const std::string& path, uint64_t limit_bytes);

/// Replaces `path` by new content or leaves it as it was: temporary file in the same directory, fsync,
/// rename, fsync of the directory. Keeps the mode of the old file. A symbolic link is replaced by the file,
/// and what it pointed to stays as it is: in a directory of others it could point at anything. Links of /dev
/// and /proc (/dev/stdout) are followed; a device or a pipe cannot be replaced and is written in place.
/// Errors: IoError with the path, the system's reason and the remedy; the temporary file is gone by then.
///         What `content` throws passes through, likewise.
void write_atomic(const std::string& path, const std::function<void(FileWriter&)>& content);
void write_atomic(const std::string& path, std::string_view bytes);

/// What to do about a system error (errno) of a file, as the end of a message.
const char* remedy_of(int code, bool reading);

}  // namespace gw::inline base
