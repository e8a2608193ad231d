#include "gatewright/data/csv.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/gzip.h"

namespace gw::inline data {
namespace {

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

/// The candidate that the first line that is not blank holds most often outside quotes; a bar if it holds
/// that alone; a comma if none.
char guess_separator(std::string_view text, char comment) {
  text.remove_prefix(std::min(text.find_first_not_of(" \r\n"), text.size()));
  while (comment != 0 && text.starts_with(comment)) {
    text.remove_prefix(std::min(text.find('\n'), text.size()));
    text.remove_prefix(std::min(text.find_first_not_of(" \r\n"), text.size()));
  }
  std::array<int64_t, 4> count{};
  constexpr std::string_view kCandidates = ",;\t|";
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (c == '\n' && !quoted) break;
    const auto found = kCandidates.find(c);
    if (!quoted && found != std::string_view::npos) ++count[found];
  }
  const auto most = std::max_element(count.begin(), count.end() - 1);
  return *most == 0 && count.back() > 0 ? kCandidates.back()
                                        : kCandidates[static_cast<size_t>(most - count.begin())];
}

/// Of digits that no double holds: whether they are too small for one, not too large. The place of the first
/// digit that is not zero tells.
bool too_small(std::string_view text) {
  const size_t e = std::min(text.find_first_of("eE"), text.size()), point = std::min(text.find('.'), e);
  const size_t first = text.find_first_of("123456789");
  double exponent = 0;
  if (e < text.size()) {
    const std::string_view digits = text.substr(e + 1 + (text.substr(e + 1).starts_with('+') ? 1 : 0));
    int64_t value = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    constexpr double kBeyondAnyText = 1e18;
    const double huge = digits.starts_with('-') ? -kBeyondAnyText : kBeyondAnyText;
    exponent = parsed.ec == std::errc() ? static_cast<double>(value) : huge;
  }
  const double place =
      first < point ? static_cast<double>(point - first - 1) : -static_cast<double>(first - point);
  return place + exponent < 0;
}

}  // namespace

bool parse_number(std::string_view text, double& value, char decimal) {
  text = trim(text);
  if (decimal != '.') {
    if (text.find('.') != std::string_view::npos) return false;
    std::string pointed(text);
    if (const auto at = pointed.find(decimal); at != std::string::npos) pointed[at] = '.';
    return parse_number(pointed, value);
  }
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return false;  // from_chars would take the second sign
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range && end == text.data() + text.size() && too_small(text)) {
    value = text.starts_with('-') ? -0.0
                                  : 0.0;  // below the least double, 4.9e-324: zero, as R and Python read it
    return true;
  }
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

bool is_missing(std::string_view text) {
  text = trim(text);
  if (text.empty() || text == ".") return true;
  if (text.starts_with('+') || text.starts_with('-')) {  // printf writes -nan
    return text.size() == 4 && is_missing(text.substr(1)) && (text[2] == 'a' || text[2] == 'A');
  }
  if (text.size() > 4) return false;
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower == "na" || lower == "nan" || lower == "null" || lower == "n/a";
}

CsvTable::CsvTable(std::string bytes, const std::string& name, const CsvOptions& options)
    : name_(name), text_(std::move(bytes)), decimal_(options.decimal), missing_(options.missing) {
  GW_CHECK(decimal_ == '.' || decimal_ == ',', "csv \"{}\": expected . or , for decimals, got {}", name,
           decimal_);
  GW_CHECK(text_.size() <= options.limit_bytes, "csv \"{}\": expected at most {} bytes, got {}", name,
           options.limit_bytes, text_.size());
  parse(options);
}

void CsvTable::refuse(const std::string& what) const { fail("csv \"{}\", line {}: {}", name_, line_, what); }

/// Text in UTF-8, without its byte order mark.
void CsvTable::check_text() {
  if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
  const auto zero = text_.find('\0');
  GW_CHECK(zero == std::string::npos,
           "csv \"{}\": byte {} is zero: this is no text; is it UTF-16 or a spreadsheet's own format?", name_,
           zero);
  const auto foreign = invalid_utf8(text_);
  if (foreign != std::string::npos) {
    line_ = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(foreign), '\n');
    refuse(
        fmt::format("expected text in UTF-8, got the byte {:#04x}; is the table in Latin-1 or a code page of "
                    "Windows? Convert it, for example with "
                    "iconv -f ISO-8859-1 -t UTF-8",
                    static_cast<unsigned char>(text_[foreign])));
  }
}

void CsvTable::parse(const CsvOptions& options) {
  check_text();
  if (text_.find('\n') == std::string::npos) std::replace(text_.begin(), text_.end(), '\r', '\n');
  const char separator = take_separator(options);
  std::vector<std::string_view> record;
  while (at_ < text_.size()) {
    const int64_t first_line = line_;
    if (options.comment != 0 && text_[at_] == options.comment) {
      skip_line();
      continue;
    }
    read_record(separator, options.limit_columns, record);
    if (record.size() == 1 && record[0].empty()) continue;  // a blank line
    if (header_.empty()) {
      take_header(record);
      continue;
    }
    if (record.size() != header_.size()) {
      line_ = first_line;
      refuse(fmt::format("expected {} cells as in the header, got {}; is a quote or a separator missing{}",
                         header_.size(), record.size(),
                         separator == ',' && record.size() > header_.size()
                             ? ", or is the comma decimal? Then put numbers into quotes, or semicolons "
                               "between cells, and read with decimal = \",\""
                             : "?"));
    }
    const int64_t next_line = std::exchange(line_, first_line);  // for what it refuses
    keep(record, options);
    line_ = next_line;
    lines_.push_back(first_line);
  }
  GW_CHECK(!header_.empty(), "csv \"{}\": expected a header and rows, got an empty file", name_);
  GW_CHECK(!lines_.empty(), "csv \"{}\": expected rows below the header, got none", name_);
}

void CsvTable::keep(const std::vector<std::string_view>& record, const CsvOptions& options) {
  if (static_cast<int64_t>(cells_.size() + record.size()) > options.limit_cells) {
    refuse(
        fmt::format("expected a table of at most {} cells ({} rows of {} columns), got more; leave out rows "
                    "or columns, or, if it was "
                    "compressed, decompress it first",
                    options.limit_cells, options.limit_cells / columns(), columns()));
  }
  for (const auto cell : record) {
    if (cell.size() > kMostLength)
      refuse(fmt::format("expected cells of at most {} bytes, got one of {}", kMostLength, cell.size()));
    cells_.push_back(
        cell.empty() ? 0 : static_cast<uint64_t>(cell.data() - text_.data()) << kLengthBits | cell.size());
  }
}

/// Spreadsheets write "sep=;" as a first line for themselves.
char CsvTable::take_separator(const CsvOptions& options) {
  const auto rest = std::string_view(text_).substr(at_);
  const auto line = trim(rest.substr(0, rest.find('\n')));
  const bool tells = line.starts_with("sep=") && line.size() == 5;
  const bool tells_tab = line == "sep=" && rest.starts_with("sep=\t");
  if (tells || tells_tab) skip_line();
  if (options.separator != 0) return options.separator;
  return tells       ? line.back()
         : tells_tab ? '\t'
                     : guess_separator(std::string_view(text_).substr(at_), options.comment);
}

void CsvTable::skip_line() {
  at_ = std::min(text_.find('\n', at_), text_.size());
  if (at_ < text_.size()) ++at_, ++line_;
}

void CsvTable::read_record(char separator, int64_t limit_columns, std::vector<std::string_view>& cells) {
  cells.clear();
  while (true) {
    if (static_cast<int64_t>(cells.size()) == limit_columns)
      refuse(fmt::format("expected at most {} columns, got more", limit_columns));
    const size_t quote = std::min(skip_blanks(at_, separator), text_.size());
    if (quote < text_.size() && text_[quote] == '"') {
      at_ = quote;
      cells.push_back(read_quoted());
      at_ = skip_blanks(at_, separator);
    } else {
      size_t end = at_;
      while (end < text_.size() && text_[end] != separator && text_[end] != '\n') ++end;
      cells.push_back(trim(std::string_view(text_.data() + at_, end - at_)));
      at_ = end;
    }
    if (at_ < text_.size() && text_[at_] == '\r') ++at_;
    if (at_ >= text_.size() || text_[at_] == '\n') break;
    if (text_[at_] != separator)
      refuse(fmt::format("expected a separator or the end of the line after a closing quote, column {}",
                         cells.size()));
    ++at_;
  }
  if (at_ < text_.size()) ++at_, ++line_;
}

size_t CsvTable::skip_blanks(size_t at, char separator) const {
  while (at < text_.size() && (text_[at] == ' ' || text_[at] == '\t') && text_[at] != separator) ++at;
  return at;
}

std::string_view CsvTable::read_quoted() {
  const size_t begin = ++at_;
  bool doubled = false;
  for (; at_ < text_.size(); ++at_) {
    if (text_[at_] == '\n') ++line_;
    if (text_[at_] != '"') continue;
    if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
      doubled = true, ++at_;
      continue;
    }
    std::string_view cell(text_.data() + begin, at_ - begin);
    ++at_;
    if (!doubled) return cell;
    size_t kept = begin;  // undoubled where it stands: the text is ours
    for (size_t i = begin; i < begin + cell.size(); i += text_[i] == '"' ? 2 : 1) text_[kept++] = text_[i];
    return std::string_view(text_.data() + begin, kept - begin);
  }
  refuse("a quote is opened and never closed");
}

void CsvTable::take_header(const std::vector<std::string_view>& cells) {
  std::set<std::string> seen;
  for (const auto cell : cells) {
    std::string text(trim(cell));
    // R and pandas write row names under no name; pandas calls such a column so when it has read it once.
    unnamed_.push_back(text.empty() || text == "Unnamed: 0");
    if (text.empty()) text = fmt::format("column{}", header_.size() + 1);
    GW_CHECK(seen.insert(text).second, "csv \"{}\": the header names \"{}\" twice", name_, shown(text));
    header_.push_back(std::move(text));
  }
}

bool CsvTable::number(int64_t row, int64_t column, double& value) const {
  return parse_number(cell(row, column), value, decimal_);
}

bool CsvTable::missing(int64_t row, int64_t column) const {
  const auto text = trim(cell(row, column));
  if (!missing_) return is_missing(text);
  return text.empty() || std::find(missing_->begin(), missing_->end(), text) != missing_->end();
}

bool CsvTable::has_other_decimal(int64_t row, int64_t column) const {
  double value = 0;
  return !number(row, column, value) && parse_number(cell(row, column), value, decimal_ == '.' ? ',' : '.');
}

int64_t CsvTable::column(const std::string& name) const {
  const auto found = std::find(header_.begin(), header_.end(), name);
  if (found == header_.end()) {
    std::vector<std::string> known;
    for (const auto& one : header_) known.push_back(shown(one));
    fail("csv \"{}\": no column \"{}\"{}{}", name_, shown(name), near_miss(name, known),
         header_.front().starts_with('#')
             ? "; the first line begins with #: if such lines are comments, give the option comment"
         : header_.size() > 1 ? ""
                              : "; the header is a single cell: name the separator, or is it none of comma, "
                                "semicolon, tab and bar (blanks are none)?");
  }
  return found - header_.begin();
}

CsvTable load_csv(const std::string& path, const CsvOptions& options) {
  std::string bytes = read_file(path, options.limit_bytes);
  if (!is_gzip(bytes)) return CsvTable(std::move(bytes), path, options);
  CsvOptions within = options;
  within.limit_bytes =
      std::min(options.limit_bytes, std::max<uint64_t>(kCsvInflated_bytes, kCsvExpansion * bytes.size()));
  within.limit_cells =
      std::min(options.limit_cells,
               std::max<int64_t>(kCsvInflated_cells, static_cast<int64_t>(kCsvExpansion / 4 * bytes.size())));
  return CsvTable(inflate_gzip(bytes, within.limit_bytes, path), path, within);
}

}  // namespace gw::inline data
