#pragma once
// Appending to a file in single writes: what a killed process leaves behind is at most one cut record at the end.
#include <string>
#include <string_view>

namespace gw {

/// Opens (and creates) a file for appending and returns its descriptor. Errors: IoError with the system's reason.
int open_for_append(const std::string& path);
/// Appends all bytes. Errors: IoError naming `path` (a full disk, for one).
void append_bytes(int file, const std::string& path, std::string_view bytes);

}  // namespace gw
