#include "gatewright/data/table_encoding.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/number_like.h"
#include "gatewright/data/table_cells.h"

namespace gw::inline data {
namespace {

constexpr int64_t kMostClasses = 100, kMostKeptLevels = 100;
constexpr size_t kMostWholeClasses = 20;
constexpr int64_t kTextShare = 20;  // a twentieth: fewer texts among numbers are taken for mistakes
constexpr double kFarthest = 1e4;   // in deviations: beyond it f32 products lose the other columns

std::string column_place(const CsvTable& table, const std::string& name) {
  return fmt::format("csv \"{}\", column \"{}\"", table.name(), shown(name));
}

/// What the cells of a column are, over all rows of the table.
struct CellKinds {
  int64_t texts = 0, numbers = 0;
  bool text() const { return texts > 0; }
};

/// Errors: ValueError for a column of numbers in which a few cells are text.
CellKinds kinds_of(const CsvTable& table, int64_t column) {
  int64_t first_text = -1, texts = 0, numbers = 0;
  bool other_decimals = true, number_like = true;
  double value = 0;
  for (int64_t r = 0; r < table.rows(); ++r) {
    if (table.missing(r, column)) continue;
    if (table.number(r, column, value)) {
      ++numbers;
      continue;
    }
    if (first_text < 0) first_text = r;
    ++texts;
    other_decimals = other_decimals && table.has_other_decimal(r, column);
    number_like = number_like && !describe_number_like(table.cell(r, column)).empty();
  }
  if (texts == 0) return {texts, numbers};
  if (other_decimals) refuse_decimal(table, first_text, column);
  if (numbers == 0 && number_like) refuse_number_like(table, first_text, column);
  if (texts * kTextShare >= texts + numbers) return {texts, numbers};
  const auto cell = table.cell(first_text, column);
  fail(
      "{}: expected a number as in {} other cells of the column, got \"{}\"; {} the cell, or name the column "
      "among the factors",
      cell_place(table, first_text, column), numbers, shown_cell(cell),
      looks_missing(cell) ? "if it stands for a missing value name it among the missing marks, else mend"
                          : "mend");
}

/// Numbers of a column at `rows`; NaN where they are missing.
std::vector<double> numbers_of(const CsvTable& table, int64_t column, const std::vector<int64_t>& rows) {
  std::vector<double> values(rows.size(), std::numeric_limits<double>::quiet_NaN());
  for (size_t i = 0; i < rows.size(); ++i) table.number(rows[i], column, values[i]);
  return values;
}

struct Moments {
  static constexpr double kFar = std::numeric_limits<double>::infinity();
  double mean = 0, deviation = 0, least = kFar, most = -kFar;
  int64_t count = 0;
  bool two = true;  ///< no value but least and most
};

/// Of the values that are not NaN.
Moments moments_of(const std::vector<double>& values) {
  Moments m;
  for (const double v : values) {
    if (std::isnan(v)) continue;
    ++m.count;
    m.mean += (v - m.mean) / static_cast<double>(m.count);
    m.least = std::min(m.least, v), m.most = std::max(m.most, v);
  }
  const double unit =
      std::max(m.most - m.least, std::numeric_limits<double>::min());  // squares must not overflow
  double sum = 0;
  for (const double v : values) {
    if (std::isnan(v)) continue;
    sum += (v - m.mean) / unit * ((v - m.mean) / unit), m.two = m.two && (v == m.least || v == m.most);
  }
  m.deviation = unit * std::sqrt(sum / static_cast<double>(std::max<int64_t>(m.count, 1)));
  return m;
}

/// Empty for a column that says nothing, with a note.
std::optional<EncodedColumn> number_column(const CsvTable& table, const std::string& name, int64_t column,
                                           const std::vector<int64_t>& rows,
                                           std::vector<std::string>& notes) {
  const auto m = moments_of(numbers_of(table, column, rows));
  const bool missing = m.count < static_cast<int64_t>(rows.size());
  GW_CHECK(m.count > 0, "{}: every value of the training rows is missing; leave the column out (exclude)",
           column_place(table, name));
  GW_CHECK(std::isfinite(m.deviation) && std::isfinite(m.mean),
           "{}: expected numbers whose spread a double holds, got {:g} to {:g}; rescale them",
           column_place(table, name), m.least, m.most);
  if (m.least == m.most && !missing) {
    notes.push_back(fmt::format("left out: {} (always {:g} in training)", shown(name), m.least));
    return std::nullopt;
  }
  return EncodedColumn{name, {}, false, missing, m.mean, m.least == m.most ? 1 : m.deviation, m.two};
}

std::optional<EncodedColumn> factor_column(const CsvTable& table, const std::string& name, int64_t column,
                                           const std::vector<int64_t>& rows, int64_t rare,
                                           std::vector<std::string>& notes) {
  std::map<std::string, int64_t> count;
  int64_t present = 0;
  for (const int64_t r : rows) {
    if (table.missing(r, column)) continue;
    ++count[level_of(table, r, column)], ++present;
  }
  const bool missing = present < static_cast<int64_t>(rows.size());
  GW_CHECK(present > 0, "{}: every value of the training rows is missing; leave the column out (exclude)",
           column_place(table, name));
  std::vector<std::pair<int64_t, std::string>> frequent;  // most frequent first, then by name
  for (const auto& [level, n] : count)
    if (n >= rare) frequent.emplace_back(-n, level);
  std::sort(frequent.begin(), frequent.end());
  if (frequent.size() > static_cast<size_t>(kMostKeptLevels))
    frequent.resize(static_cast<size_t>(kMostKeptLevels));
  EncodedColumn out{name, {}, frequent.size() < count.size(), missing, 0, 1};
  for (const auto& item : frequent) out.levels.push_back(item.second);
  std::sort(out.levels.begin(), out.levels.end());
  if (frequent.empty()) {
    notes.push_back(
        fmt::format("left out: {} ({} different texts in {} rows, none often enough to learn from)",
                    shown(name), count.size(), present));
    return std::nullopt;
  }
  if (count.size() == 1 && !missing) {
    notes.push_back(
        fmt::format("left out: {} (always {} in training)", shown(name), shown_cell(count.begin()->first)));
    return std::nullopt;
  }
  if (out.rare)
    notes.push_back(fmt::format("{}: {} of {} levels are rare and share a column", shown(name),
                                count.size() - frequent.size(), count.size()));
  return out;
}

bool holds_name(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string> inputs_of(const CsvTable& table, const EncodingOptions& o,
                                   std::vector<std::string>& notes) {
  for (const auto* names : {&o.inputs, &o.exclude, &o.factors})
    for (const auto& name : *names) table.column(name);
  GW_CHECK(!holds_name(o.inputs, o.response), "csv \"{}\": \"{}\" is the response and cannot explain itself",
           table.name(), shown(o.response));
  std::vector<std::string> inputs;
  for (int64_t c = 0; c < table.columns(); ++c) {
    const auto& name = table.header()[static_cast<size_t>(c)];
    if (name == o.response || holds_name(o.exclude, name)) continue;
    if (o.inputs.empty() && table.unnamed(c)) {
      notes.push_back(fmt::format("left out: {} (the header gives it no name; row numbers?)", shown(name)));
    } else if (o.inputs.empty() || holds_name(o.inputs, name)) {
      inputs.push_back(name);
    }
  }
  return inputs;
}

/// Whole numbers of few kinds.
bool names_classes(const std::vector<double>& values) {
  std::set<double> kinds;
  for (const double v : values) {
    if (v != std::floor(v)) return false;
    kinds.insert(v);
    if (kinds.size() > kMostWholeClasses) return false;
  }
  return true;
}

void read_classes(const CsvTable& table, int64_t column, TableTarget& target) {
  std::map<std::string, int64_t> place;
  std::vector<std::string> level;
  for (const int64_t r : target.rows) {
    level.push_back(level_of(table, r, column));
    place[level.back()] = 0;
    GW_CHECK(place.size() <= static_cast<size_t>(kMostClasses),
             "csv \"{}\", column \"{}\": expected at most {} classes, got more; is it an identifier, or a "
             "number?",
             table.name(), shown(table.header()[static_cast<size_t>(column)]), kMostClasses);
  }
  for (auto& [name, at] : place) {
    at = static_cast<int64_t>(target.classes.size());
    target.classes.push_back(name);
  }
  GW_CHECK(target.classes.size() >= 2,
           "csv \"{}\", column \"{}\": expected at least 2 classes, got only \"{}\" in {} rows; there is "
           "nothing to tell apart",
           table.name(), shown(table.header()[static_cast<size_t>(column)]),
           shown_cell(target.classes.front()), target.rows.size());
  for (const auto& name : level) target.y.push_back(static_cast<double>(place.at(name)));
}

}  // namespace

int64_t EncodedColumn::width() const {
  return (factor() ? static_cast<int64_t>(levels.size()) + (rare ? 1 : 0) : 1) + (missing ? 1 : 0);
}

int64_t TableEncoding::width() const {
  int64_t sum = 0;
  for (const auto& column : columns) sum += column.width();
  return sum;
}

std::vector<int64_t> TableEncoding::numeric() const {
  std::vector<int64_t> places;
  int64_t next = 0;
  for (const auto& column : columns) {
    if (!column.factor() && !column.switched) places.push_back(next);
    next += column.width();
  }
  return places;
}

std::vector<InputField> TableEncoding::fields() const {
  std::vector<InputField> out;
  int64_t next = 0;
  for (const auto& column : columns) {
    out.push_back({column.name, next, column.width(), !column.factor()});
    next += column.width();
  }
  return out;
}

TableTarget read_target(const CsvTable& table, const std::string& response, const std::string& kind) {
  const int64_t column = table.column(response);
  TableTarget target;
  for (int64_t r = 0; r < table.rows(); ++r)
    if (!table.missing(r, column)) target.rows.push_back(r);
  GW_CHECK(!target.rows.empty(), "{}: expected a response, got no value in {} rows",
           column_place(table, response), table.rows());
  const bool text = kind == "class" || kinds_of(table, column).text();
  GW_CHECK(kind != "number" || !text, "{}: expected numbers, got text: \"{}\"", column_place(table, response),
           shown_cell(table.cell(target.rows.front(), column)));
  if (!text) target.y = numbers_of(table, column, target.rows);
  const bool few = !text && kind != "number" && names_classes(target.y);
  target.reason = kind != "auto" ? "as asked"
                  : text         ? "it is text"
                  : few          ? fmt::format("at most {} different whole numbers", kMostWholeClasses)
                        : fmt::format("numbers, more than {} different or not whole", kMostWholeClasses);
  if (!text && !few) return target;
  target.y.clear();
  read_classes(table, column, target);
  return target;
}

TableEncoding learn_encoding(const CsvTable& table, const EncodingOptions& options, const TableTarget& target,
                             const std::vector<int64_t>& rows, std::vector<std::string>& notes) {
  TableEncoding out;
  out.response = options.response, out.classes = target.classes;
  for (const auto& name : inputs_of(table, options, notes)) {
    const int64_t column = table.column(name);
    const bool named = holds_name(options.factors, name);
    const auto kinds = named ? CellKinds{1, 0} : kinds_of(table, column);
    if (kinds.text() && kinds.numbers > 0)
      notes.push_back(fmt::format("{}: {} cells are text and {} are numbers; taken as a factor", shown(name),
                                  kinds.texts, kinds.numbers));
    const bool factor = kinds.text();
    auto encoded = factor ? factor_column(table, name, column, rows, options.rare, notes)
                          : number_column(table, name, column, rows, notes);
    if (encoded) out.columns.push_back(std::move(*encoded));
  }
  GW_CHECK(!out.columns.empty(),
           "csv \"{}\": expected an input beside the response \"{}\", got none that says anything",
           table.name(), shown(options.response));
  return out;
}

namespace {

/// Writes one input into its columns of x, which begin at `out`, `stride` apart by row.
class ColumnWriter {
 public:
  ColumnWriter(const CsvTable& table, const EncodedColumn& column)
      : table_(table), column_(column), at_(table.column(column.name)) {
    for (size_t l = 0; l < column.levels.size(); ++l) place_[column.levels[l]] = static_cast<int64_t>(l);
  }

  void write(int64_t row, float* out) {
    const bool missing = table_.missing(row, at_);
    if (missing && column_.missing) out[column_.width() - 1] = 1;
    if (!column_.factor()) {
      if (!missing) out[0] = number(row);
      return;
    }
    const int64_t place = missing ? kUnseen : level(row);
    if (place >= 0) out[place] = 1;
    const bool shared = place < 0 && column_.rare && !(missing && column_.missing);
    if (shared) out[column_.levels.size()] = 1;
  }

 private:
  static constexpr int64_t kUnseen = -1;

  float number(int64_t row) const {
    double value = 0;
    if (!table_.number(row, at_, value)) {
      if (table_.has_other_decimal(row, at_)) refuse_decimal(table_, row, at_);
      fail("{}: expected a number, as in training, got \"{}\"; mend the cell{}", cell_place(table_, row, at_),
           shown_cell(table_.cell(row, at_)),
           looks_missing(table_.cell(row, at_)) ? ", or name it among the missing marks" : "");
    }
    return static_cast<float>(std::clamp((value - column_.mean) / column_.deviation, -kFarthest, kFarthest));
  }

  int64_t level(int64_t row) {
    const auto cell = table_.cell(row, at_);
    const auto known = seen_.find(cell);
    if (known != seen_.end()) return known->second;
    const auto found = place_.find(level_of(table_, row, at_));
    const int64_t place = found == place_.end() ? kUnseen : found->second;
    constexpr size_t kMostRemembered = 1 << 16;
    if (seen_.size() < kMostRemembered) seen_.emplace(cell, place);
    return place;
  }

  const CsvTable& table_;
  const EncodedColumn& column_;
  int64_t at_;
  std::map<std::string, int64_t> place_;
  std::unordered_map<std::string_view, int64_t> seen_;  // cells as they are written
};

}  // namespace

at::Tensor encode_rows(const CsvTable& table, const TableEncoding& encoding, int64_t first, int64_t count) {
  const int64_t width = encoding.width();
  auto x = at::zeros({count, width});
  float* out = x.data_ptr<float>();
  int64_t offset = 0;
  for (const auto& column : encoding.columns) {
    ColumnWriter writer(table, column);
    for (int64_t i = 0; i < count; ++i) writer.write(first + i, out + i * width + offset);
    offset += column.width();
  }
  return x;
}

Json to_json(const TableEncoding& encoding) {
  Json columns = Json::array();
  for (const auto& c : encoding.columns) {
    Json one{{"name", c.name}, {"missing", c.missing}};
    if (c.factor())
      one["levels"] = c.levels, one["rare"] = c.rare;
    else
      one["mean"] = c.mean, one["deviation"] = c.deviation, one["switched"] = c.switched;
    columns.push_back(std::move(one));
  }
  Json json{{"response", encoding.response}, {"columns", columns}};
  if (encoding.classes.empty())
    json["mean"] = encoding.y_mean, json["deviation"] = encoding.y_deviation;
  else
    json["classes"] = encoding.classes;
  return json;
}

TableEncoding table_encoding_from_json(const Json& json, const std::string& where) {
  try {
    TableEncoding out;
    out.response = json.at("response").get<std::string>();
    out.classes = json.value("classes", std::vector<std::string>{});
    out.y_mean = json.value("mean", 0.0), out.y_deviation = json.value("deviation", 1.0);
    for (const auto& c : json.at("columns")) {
      out.columns.push_back({c.at("name").get<std::string>(), c.value("levels", std::vector<std::string>{}),
                             c.value("rare", false), c.at("missing").get<bool>(), c.value("mean", 0.0),
                             c.value("deviation", 1.0), c.value("switched", false)});
      const auto& last = out.columns.back();
      GW_CHECK(last.deviation > 0 && std::isfinite(last.deviation) && std::isfinite(last.mean),
               "{}: expected a deviation above 0 for \"{}\", got {}", where, shown(last.name),
               last.deviation);
    }
    GW_CHECK(out.classes.size() != 1 && !out.columns.empty(),
             "{}: expected columns, and no classes or at least 2, got {} and {}", where, out.columns.size(),
             out.classes.size());
    return out;
  } catch (const JsonError& error) {
    fail("{}: the description of the columns is damaged: {}", where, error.what());
  }
}

}  // namespace gw::inline data
