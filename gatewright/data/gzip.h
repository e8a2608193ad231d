#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace gw::inline data {

/// Whether the data begins as gzip does.
bool is_gzip(std::string_view bytes);

/// Inflates gzip data (RFC 1952, several members one after another are allowed); data without gzip's magic is
/// returned as it is.
/// Errors: ValueError naming `name` for truncated or corrupt data, for bytes after the last member, and for
///         content above `limit_bytes`: memory stays within twice the limit, so a small bomb cannot fill it.
std::string inflate_gzip(std::string_view bytes, uint64_t limit_bytes, const std::string& name);

/// Reads and inflates a file. Errors: as above, and IoError if the file cannot be read.
std::string read_gzip(const std::string& path, uint64_t limit_bytes);

}  // namespace gw::inline data
