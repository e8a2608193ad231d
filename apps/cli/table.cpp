#include "apps/cli/table.h"

#include <algorithm>

#include "gatewright/base/shown.h"
#include "gatewright/runs/progress.h"

namespace gw {

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  if (rows.empty()) return "";
  std::vector<std::vector<std::string>> cells = rows;
  for (auto& row : cells) {
    for (auto& cell : row)
      cell = shown(cell);  // names and levels come from files: no escape sequence may reach the terminal
  }
  std::vector<bool> right;
  for (auto& head : cells[0]) {
    right.push_back(!head.empty() && head[0] == '>');
    if (right.back()) head.erase(0, 1);
  }
  std::vector<int> widths(cells[0].size(), 0);
  for (const auto& row : cells) {
    for (size_t c = 0; c < row.size() && c < widths.size(); ++c)
      widths[c] = std::max(widths[c], display_width(row[c]));
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& row) {
    std::string text;
    for (size_t c = 0; c < widths.size(); ++c) {
      const std::string cell = c < row.size() ? row[c] : "";
      const std::string pad(static_cast<size_t>(widths[c] - display_width(cell)), ' ');
      text += right[c] ? pad + cell : cell + pad;
      if (c + 1 < widths.size()) text += "  ";
    }
    out += text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
  };
  line(cells[0]);
  std::vector<std::string> rule;
  for (const int width : widths) rule.emplace_back(static_cast<size_t>(width), '-');
  line(rule);
  for (size_t r = 1; r < cells.size(); ++r) line(cells[r]);
  return out;
}

}  // namespace gw
