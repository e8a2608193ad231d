#pragma once
// Texts as rows of code points, as Python has them; the bytes are UTF-8.
#include <string>
#include <string_view>
#include <vector>

namespace gw::inline text::jinja {

/// The characters of UTF-8 text, each as its bytes.
std::vector<std::string_view> characters(std::string_view text);
size_t count_characters(std::string_view text);
/// Where character `index` begins, in bytes; the size of the text if it has no more than that.
size_t byte_of(std::string_view text, size_t index);
char32_t code_point(std::string_view character);
/// Appends a code point as UTF-8. Errors: ValueError for surrogates and for what is above U+10FFFF.
void append_utf8(std::string& text, char32_t point);

bool is_space(char32_t point);   ///< Python's str.isspace
bool is_hidden(char32_t point);  ///< what repr() escapes: not str.isprintable
bool is_cased(std::string_view character);

std::string upper(std::string_view text);
/// Without the rule for a sigma at the end of a word.
std::string lower(std::string_view text);
/// The first character of `text` in upper case, the others in lower case.
std::string capitalized(std::string_view text);
/// str.title: letters after what is no letter in upper case, others in lower case.
std::string titled(std::string_view text);

enum class Side { both, left, right };
/// str.strip and its kin; `unwanted` nullptr: white space.
std::string_view stripped(std::string_view text, const std::string* unwanted, Side side);
/// Lines without their ends, as str.splitlines.
std::vector<std::string_view> lines_of(std::string_view text);

}  // namespace gw::inline text::jinja
