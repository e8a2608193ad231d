#include "data/frame.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"

namespace gw {
namespace {

constexpr size_t kMostLevels = 100;

std::string place(const CsvTable& table, int64_t row, int64_t column) {
  return fmt::format("csv \"{}\", line {}, column \"{}\"", table.name(), table.line(row), table.header()[static_cast<size_t>(column)]);
}

std::string shown(std::string_view cell) { return cell.size() <= 40 ? std::string(cell) : std::string(cell.substr(0, 37)) + "…"; }

std::vector<std::string> levels_of(const CsvTable& table, int64_t column) {
  std::set<std::string> seen;
  for (int64_t r = 0; r < table.rows(); ++r) {
    const auto cell = table.cell(r, column);
    if (!is_missing(cell)) seen.emplace(cell);
    GW_CHECK(seen.size() <= kMostLevels,
             "csv \"{}\", column \"{}\": expected a factor of at most {} levels, got more; is it an identifier? leave it out", table.name(),
             table.header()[static_cast<size_t>(column)], kMostLevels);
  }
  return {seen.begin(), seen.end()};
}

[[noreturn]] void refuse_decimal(const CsvTable& table, int64_t row, int64_t column) {
  const bool comma = table.decimal() == '.';
  fail(
      "{}: expected a number, got \"{}\": a {} stands where a {} is expected; if it is the decimal sign, read the table with --decimal "
      "{}{}",
      place(table, row, column), shown(table.cell(row, column)), comma ? "comma" : "point", comma ? "point" : "comma", comma ? "," : ".",
      comma ? "; if it separates thousands, leave it out" : "");
}

/// A column is a factor if no cell of it is a number. One whose cells are all numbers but for the decimal sign is a mistake: it would pass
/// for a factor with a level for each value.
Term make_term(const CsvTable& table, const std::string& name, bool factor) {
  const int64_t column = table.column(name);
  Term term{name, {}};
  double value = 0;
  bool any_number = false, any_cell = false, other_decimals = true;
  int64_t first = -1;
  for (int64_t r = 0; r < table.rows() && !factor; ++r) {
    const auto cell = table.cell(r, column);
    if (is_missing(cell)) continue;
    if (!any_cell) first = r;
    any_cell = true;
    any_number = table.number(r, column, value);
    if (any_number) break;
    other_decimals = other_decimals && table.has_other_decimal(r, column);
  }
  GW_CHECK(any_cell || factor, "csv \"{}\", column \"{}\": every value is missing; leave it out", table.name(), name);
  if (any_number) return term;
  if (!factor && other_decimals) refuse_decimal(table, first, column);
  term.levels = levels_of(table, column);
  GW_CHECK(term.levels.size() >= 2, "csv \"{}\", column \"{}\": expected a factor of at least 2 levels, got {}; leave it out", table.name(),
           name, term.levels.size());
  return term;
}

/// The cells of one row as numbers, or nothing if one is missing and rows may be dropped.
class RowReader {
 public:
  RowReader(const CsvTable& table, const Schema& schema, bool drop_missing) : table_(table), schema_(schema), drop_(drop_missing) {
    for (const auto& term : schema.terms) columns_.push_back(table.column(term.name));
  }

  bool read(int64_t row, std::vector<double>& out) const {
    for (size_t t = 0; t < columns_.size(); ++t) {
      const auto cell = table_.cell(row, columns_[t]);
      if (missing(row, columns_[t])) return false;
      const auto& levels = schema_.terms[t].levels;
      if (levels.empty()) {
        out.push_back(number(row, columns_[t], Role::kInput));
        continue;
      }
      const auto found = std::find(levels.begin(), levels.end(), cell);
      GW_CHECK(found != levels.end(), "{}: unknown level \"{}\"{}", place(table_, row, columns_[t]), shown(cell),
               near_miss(std::string(cell), levels));
      for (auto level = levels.begin() + 1; level != levels.end(); ++level) out.push_back(level == found ? 1 : 0);
    }
    return true;
  }

  bool missing(int64_t row, int64_t column) const {
    if (!is_missing(table_.cell(row, column))) return false;
    GW_CHECK(drop_, "{}: the value is missing; fill it in, or leave such rows out with --missing drop", place(table_, row, column));
    return true;
  }

  /// `role`: what the column is to the model, which decides what may be done about text in it.
  enum class Role { kInput, kResponse, kWeight };
  double number(int64_t row, int64_t column, Role role) const {
    double value = 0;
    if (table_.number(row, column, value)) return value;
    if (table_.has_other_decimal(row, column)) refuse_decimal(table_, row, column);
    const std::string remedy = role == Role::kInput
                                   ? ", or take the column as classes with --factor " + table_.header()[static_cast<size_t>(column)]
                               : role == Role::kResponse ? ", or explain classes with --family multinomial"
                                                         : "";
    fail("{}: expected a number, got \"{}\"; mend the cell{}", place(table_, row, column), shown(table_.cell(row, column)), remedy);
  }

 private:
  const CsvTable& table_;
  const Schema& schema_;
  bool drop_;
  std::vector<int64_t> columns_;
};

Frame read_rows(const CsvTable& table, const Schema& schema, bool drop_missing, bool with_response, const std::string& weights) {
  Frame frame;
  frame.schema = schema;
  const RowReader reader(table, schema, drop_missing);
  const int64_t response = with_response ? table.column(schema.response) : -1, weight = weights.empty() ? -1 : table.column(weights);
  std::vector<double> values;
  for (int64_t r = 0; r < table.rows(); ++r) {
    values.clear();
    if ((response >= 0 && reader.missing(r, response)) || (weight >= 0 && reader.missing(r, weight)) || !reader.read(r, values)) {
      ++frame.dropped;
      continue;
    }
    if (response >= 0 && schema.classes.empty()) frame.y.push_back(reader.number(r, response, RowReader::Role::kResponse));
    if (response >= 0 && !schema.classes.empty()) {
      const auto found = std::find(schema.classes.begin(), schema.classes.end(), table.cell(r, response));
      if (found == schema.classes.end()) fail("{}: unknown class \"{}\"", place(table, r, response), shown(table.cell(r, response)));
      frame.y.push_back(static_cast<double>(found - schema.classes.begin()));
    }
    if (weight >= 0) {
      frame.weight.push_back(reader.number(r, weight, RowReader::Role::kWeight));
      if (frame.weight.back() < 0) fail("{}: expected a weight of 0 or more, got {}", place(table, r, weight), frame.weight.back());
    }
    frame.x.insert(frame.x.end(), values.begin(), values.end());
    frame.row.push_back(r);
  }
  GW_CHECK(!frame.row.empty(), "csv \"{}\": every row has a missing value; nothing is left", table.name());
  return frame;
}

}  // namespace

std::vector<std::string> Schema::columns() const {
  std::vector<std::string> names;
  for (const auto& term : terms) {
    if (term.levels.empty()) names.push_back(term.name);
    for (size_t l = 1; l < term.levels.size(); ++l) names.push_back(term.name + "=" + term.levels[l]);
  }
  return names;
}

std::vector<int64_t> Schema::columns_of(const std::vector<std::string>& wanted) const {
  std::vector<std::string> known;
  for (const auto& term : terms) known.push_back(term.name);
  for (const auto& name : wanted) {
    GW_CHECK(std::find(known.begin(), known.end(), name) != known.end(), "model: no input \"{}\"{}", name, near_miss(name, known));
  }
  std::vector<int64_t> columns;
  int64_t next = 0;
  for (const auto& term : terms) {
    const bool in = std::find(wanted.begin(), wanted.end(), term.name) != wanted.end();
    const auto width = std::max<int64_t>(1, static_cast<int64_t>(term.levels.size()) - 1);
    for (int64_t i = 0; i < width; ++i, ++next) {
      if (in) columns.push_back(next);
    }
  }
  return columns;
}

Frame make_frame(const CsvTable& table, const FrameOptions& o) {
  table.column(o.response);
  if (!o.weights.empty()) table.column(o.weights);
  for (const auto& name : o.factors) table.column(name);
  Schema schema;
  schema.response = o.response;
  std::vector<std::string> inputs = o.inputs;
  for (const auto& name : table.header()) {
    if (o.inputs.empty() && name != o.response && name != o.weights) inputs.push_back(name);
  }
  for (const auto& name : inputs) {
    GW_CHECK(name != o.response, "model: \"{}\" is the response and cannot explain itself", name);
    const bool factor = std::find(o.factors.begin(), o.factors.end(), name) != o.factors.end();
    schema.terms.push_back(make_term(table, name, factor));
  }
  if (o.classes) {
    schema.classes = levels_of(table, table.column(o.response));
    GW_CHECK(schema.classes.size() >= 2, "csv \"{}\", column \"{}\": expected at least 2 classes, got {}", table.name(), o.response,
             schema.classes.size());
  }
  return read_rows(table, schema, o.drop_missing, true, o.weights);
}

Frame apply_schema(const CsvTable& table, const Schema& schema, bool drop_missing, bool with_response) {
  return read_rows(table, schema, drop_missing, with_response, "");
}

nlohmann::json to_json(const Schema& schema) {
  nlohmann::json terms = nlohmann::json::array();
  for (const auto& term : schema.terms) {
    nlohmann::json one{{"name", term.name}};
    if (!term.levels.empty()) one["levels"] = term.levels, one["reference"] = term.levels.front();
    terms.push_back(std::move(one));
  }
  nlohmann::json json{{"response", schema.response}, {"terms", terms}};
  if (!schema.classes.empty()) json["classes"] = schema.classes;
  return json;
}

Schema schema_from_json(const nlohmann::json& json, const std::string& where) {
  try {
    Schema schema;
    schema.response = json.at("response").get<std::string>();
    for (const auto& term : json.at("terms")) {
      schema.terms.push_back({term.at("name").get<std::string>(), term.value("levels", std::vector<std::string>{})});
    }
    schema.classes = json.value("classes", std::vector<std::string>{});
    return schema;
  } catch (const nlohmann::json::exception& error) {
    fail("{}: the description of the columns is damaged: {}", where, error.what());
  }
}

}  // namespace gw
