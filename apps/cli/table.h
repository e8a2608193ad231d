#pragma once
#include <string>
#include <vector>

namespace gw {

/// Rows of text as aligned columns; the first row is the head. Columns whose name starts with '>' are
/// right-aligned (the mark is not printed). Widths are counted in characters, not bytes.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace gw
