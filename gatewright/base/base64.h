#pragma once
#include <string>
#include <string_view>

namespace gw::inline base {

/// Base64 with padding (RFC 4648, section 4).
std::string base64_encode(std::string_view bytes);
/// Errors: ValueError naming `what` for a length that is no multiple of 4 or a character outside the
///         alphabet.
std::string base64_decode(std::string_view text, const std::string& what);

}  // namespace gw::inline base
