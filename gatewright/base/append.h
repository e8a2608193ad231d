#pragma once
// Files that only grow, in single writes: what a killed process leaves behind is at most one cut record at
// the end.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gatewright/base/json.h"

namespace gw::inline base {

/// How far a log reached at some moment. Kept in a checkpoint it tells later whether the log still is what
/// was written.
struct LogMark {
  uint64_t bytes = 0;
  std::optional<uint32_t> crc32c;  ///< none where the content differs from run to run (wall times)
};
/// {"bytes": n, "crc32c": "0123abcd"}
Json to_json(const LogMark& mark);
/// Errors: ValueError naming `name` for anything else.
LogMark log_mark(const Json& json, const std::string& name);

/// A file that is open for appending.
class LogFile {
 public:
  /// Creates the file if there is none; a symbolic link is refused. Errors: IoError with the system's reason.
  explicit LogFile(std::string path);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  /// Appends all bytes. Errors: IoError naming the path (a full disk, for one).
  void append(std::string_view bytes);
  uint64_t bytes() const { return bytes_; }
  /// Where the file stands, after its bytes have reached the disk: a checkpoint that outlives a power cut
  /// must not speak of more than its logs do. Cost: reads the file once if this object did not write it from
  /// its beginning.
  LogMark mark();

 private:
  std::string path_;
  int file_ = -1;
  uint64_t bytes_ = 0;
  std::optional<uint32_t> sum_;  ///< of all bytes; none until what was there before is read
};

/// Refuses a log that does not begin with what it held when `mark` was taken; longer is right, a process went
/// on until it was killed.
/// Errors: ValueError saying what is missing or changed, and the remedy; IoError.
void check_log(const std::string& path, const LogMark& mark);
/// Cuts a file to its first `bytes`, which it must have; creates an empty one for 0. Errors: IoError.
void cut_log(const std::string& path, uint64_t bytes);

}  // namespace gw::inline base
