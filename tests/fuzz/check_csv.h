#pragma once
#include <cstdlib>
#include <string_view>

#include "gatewright/base/error.h"
#include "gatewright/data/frame.h"

namespace gw::test {

/// The property that fuzzing attacks: any bytes are either refused with a ValueError or become a table whose
/// cells lie in memory and a frame of finite numbers. Returns whether they became a frame; aborts if the
/// property fails.
inline bool check_csv(std::string_view bytes, char decimal) {
  try {
    const CsvOptions limits{0, 1 << 20, 64, decimal, 1 << 14};
    const CsvTable table(std::string(bytes), "fuzz", limits);
    if (table.columns() > limits.limit_columns || table.rows() * table.columns() > limits.limit_cells)
      std::abort();
    size_t letters = 0;
    for (int64_t r = 0; r < table.rows(); ++r) {
      for (int64_t c = 0; c < table.columns(); ++c) letters += table.cell(r, c).size();
    }
    if (letters > bytes.size()) std::abort();
    FrameOptions options;
    options.response = table.header().front();
    options.drop_missing = true;
    const Frame frame = make_frame(table, options);
    if (frame.x.size() != frame.row.size() * frame.schema.columns().size() ||
        frame.y.size() != frame.row.size())
      std::abort();
    for (const double value : frame.x) {
      if (!(value - value == 0)) std::abort();
    }
    return true;
  } catch (const ValueError&) {
    return false;
  }
}

/// With either decimal sign.
inline bool check_csv(std::string_view bytes) {
  const bool with_points = check_csv(bytes, '.'), with_commas = check_csv(bytes, ',');
  return with_points || with_commas;
}

}  // namespace gw::test
