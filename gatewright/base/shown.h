#pragma once
#include <string>
#include <string_view>

namespace gw::inline base {

/// Text of an untrusted file for a terminal or a message, on one line: control characters (C0, DEL, C1), line
/// and paragraph separators, signs that turn the direction of writing and bytes that are not UTF-8 become
/// \xNN; other UTF-8 stays. `most_bytes` > 0 cuts longer text.
std::string shown(std::string_view text, size_t most_bytes = 0);

/// A path or word for a command line that is to be pasted into a shell: as it is where that is safe, else
/// quoted, control characters as $'\x1b'; one that begins with a dash gets "./" before it.
std::string shell_word(std::string_view text);

/// "clean_accuracy" → "clean accuracy".
std::string words(std::string name);

/// Where `text` stops being UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF); npos
/// if it is UTF-8 throughout.
size_t invalid_utf8(std::string_view text);

}  // namespace gw::inline base
