#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gw::inline data {

struct CsvOptions {
  /// 0: what a first line "sep=;" says, as spreadsheets write it; else the one of , ; tab that is most
  /// frequent in the header, or | where it holds none of these.
  char separator = 0;
  uint64_t limit_bytes = uint64_t{4} << 30;
  int64_t limit_columns = 4096;
  char decimal = '.';                      ///< . or ,
  int64_t limit_cells = int64_t{1} << 28;  ///< rows times columns; a cell takes 8 bytes beside its text
  char comment = 0;                        ///< lines that begin with it are skipped; 0: none are
  /// Cells that are missing values, beside empty ones; absent: those of `is_missing`.
  std::optional<std::vector<std::string>> missing = std::nullopt;
};

/// What a compressed file may become: deflate shrinks repetitions a thousandfold, so that one of 1 MB could
/// fill the memory. Up to these sizes whatever the file; beyond them content of at most kCsvExpansion times
/// the file's bytes, and a quarter as many cells.
inline constexpr uint64_t kCsvInflated_bytes = uint64_t{256} << 20;
inline constexpr int64_t kCsvInflated_cells = int64_t{1} << 24;
inline constexpr uint64_t kCsvExpansion = 64;

/// A table of text with a header. Quoted cells may hold separators, line ends and doubled quotes; blanks
/// around the quotes of a cell and blank lines are skipped, a byte order mark is ignored, lines end with \n
/// or \r\n, or throughout with \r.
/// Errors: ValueError naming the file, the line and the column for bytes that are no table: rows of different
///         lengths, an open quote, text after a closing quote, zero bytes, bytes that are not UTF-8, a header
///         with a name twice, no rows; for more bytes, columns or cells than the options allow, before memory
///         is taken for them.
/// Source: RFC 4180; differs: other separators, lines may end with \n, blank lines.
class CsvTable {
 public:
  /// Parses `bytes`; `name` stands for the file in errors.
  CsvTable(std::string bytes, const std::string& name, const CsvOptions& options = {});
  CsvTable(const CsvTable&) = delete;  // cells point into the text
  CsvTable& operator=(const CsvTable&) = delete;
  CsvTable(CsvTable&&) = delete;
  CsvTable& operator=(CsvTable&&) = delete;

  const std::string& name() const { return name_; }
  const std::vector<std::string>& header() const { return header_; }
  int64_t rows() const { return static_cast<int64_t>(lines_.size()); }
  int64_t columns() const { return static_cast<int64_t>(header_.size()); }
  std::string_view cell(int64_t row, int64_t column) const {
    const uint64_t place = cells_[static_cast<size_t>(row * columns() + column)];
    return {text_.data() + (place >> kLengthBits), static_cast<size_t>(place & kMostLength)};
  }
  /// The cell as a finite number with the table's decimal sign; false if it is none.
  bool number(int64_t row, int64_t column, double& value) const;
  /// The cell is a number only with the other decimal sign: "1,5" where a point is expected.
  bool has_other_decimal(int64_t row, int64_t column) const;
  char decimal() const { return decimal_; }
  /// The cell stands for a missing value.
  bool missing(int64_t row, int64_t column) const;
  /// The header gives the column no name, as R and pandas write their row names: it is called column1.
  bool unnamed(int64_t column) const { return unnamed_[static_cast<size_t>(column)]; }
  /// The line of the file that a row starts on, counted from 1.
  int64_t line(int64_t row) const { return lines_[static_cast<size_t>(row)]; }
  /// Errors: ValueError with the near miss for a name that the header does not have.
  int64_t column(const std::string& name) const;

 private:
  void check_text();
  void parse(const CsvOptions& options);
  void read_record(char separator, int64_t limit_columns, std::vector<std::string_view>& cells);
  void keep(const std::vector<std::string_view>& record, const CsvOptions& options);
  char take_separator(const CsvOptions& options);
  void skip_line();
  std::string_view read_quoted();
  size_t skip_blanks(size_t at, char separator) const;
  void take_header(const std::vector<std::string_view>& cells);
  [[noreturn]] void refuse(const std::string& what) const;

  static constexpr int kLengthBits = 24;  // 16 MiB for a cell; 40 bits are left for its place
  static constexpr uint64_t kMostLength = (uint64_t{1} << kLengthBits) - 1;

  std::string name_, text_;
  size_t at_ = 0;
  int64_t line_ = 1;
  char decimal_ = '.';
  std::vector<std::string> header_;
  std::vector<uint64_t> cells_;  // place in the text and length: half of a string_view
  std::vector<bool> unnamed_;
  std::optional<std::vector<std::string>> missing_;
  std::vector<int64_t> lines_;
};

/// Reads a file, plain or gzip. Errors: as above, also for compressed content beyond the limits at the top;
/// IoError if it cannot be read.
CsvTable load_csv(const std::string& path, const CsvOptions& options = {});

/// The whole of `text` (blanks around it aside) as a finite number; false if it is none. No thousands are
/// separated; what is too small for a double is zero.
bool parse_number(std::string_view text, double& value, char decimal = '.');
/// Empty, or NA, N/A, NaN (with a sign as well), null, ., in any case.
bool is_missing(std::string_view text);

}  // namespace gw::inline data
