#include "gatewright/data/frame.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>

#include "gatewright/base/check.h"
#include "gatewright/base/json.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/number_like.h"
#include "gatewright/data/table_cells.h"

namespace gw::inline data {
namespace {

constexpr size_t kMostLevels = 100;

using Rows = std::vector<int64_t>;

/// The place of a cell's level; the end if there is none. Model files of before name levels as cells were
/// written.
std::vector<std::string>::const_iterator find_level(const CsvTable& table, int64_t row, int64_t column,
                                                    const std::vector<std::string>& levels) {
  const auto as_written = std::find(levels.begin(), levels.end(), table.cell(row, column));
  return as_written != levels.end() ? as_written
                                    : std::find(levels.begin(), levels.end(), level_of(table, row, column));
}

/// Of `rows`.
std::vector<std::string> levels_of(const CsvTable& table, int64_t column, const Rows& rows) {
  std::set<std::string> seen;
  for (const int64_t r : rows) {
    if (!table.missing(r, column)) seen.insert(level_of(table, r, column));
    GW_CHECK(seen.size() <= kMostLevels,
             "csv \"{}\", column \"{}\": expected a factor of at most {} levels, got more; is it an "
             "identifier? leave it out of "
             "the inputs",
             table.name(), shown(table.header()[static_cast<size_t>(column)]), kMostLevels);
  }
  return {seen.begin(), seen.end()};
}

/// A column is a factor if no cell of it is a number. One whose cells are all numbers but for the decimal
/// sign, separated thousands or a unit is a mistake: it would pass for a factor with a level for each value.
Term make_term(const CsvTable& table, const std::string& name, bool factor, const Rows& rows) {
  const int64_t column = table.column(name);
  Term term{name, {}};
  double value = 0;
  bool any_number = false, any_cell = false, other_decimals = true, number_like = true;
  int64_t first = -1;
  for (const int64_t r : rows) {
    const auto cell = table.cell(r, column);
    if (factor || table.missing(r, column)) continue;
    if (!any_cell) first = r;
    any_cell = true;
    any_number = table.number(r, column, value);
    if (any_number) break;
    other_decimals = other_decimals && table.has_other_decimal(r, column);
    number_like = number_like && !describe_number_like(cell).empty();
  }
  GW_CHECK(any_cell || factor,
           "csv \"{}\", column \"{}\": every value is missing; leave it out of the inputs", table.name(),
           shown(name));
  if (any_number) return term;
  if (!factor && other_decimals) refuse_decimal(table, first, column);
  if (!factor && number_like) refuse_number_like(table, first, column);
  term.levels = levels_of(table, column, rows);
  GW_CHECK(
      term.levels.size() >= 2,
      "csv \"{}\", column \"{}\": expected a factor of at least 2 levels, got {}; leave it out of the inputs",
      table.name(), shown(name), term.levels.size());
  return term;
}

/// The cells of one row as numbers, or nothing if one is missing and rows may be dropped.
class RowReader {
 public:
  RowReader(const CsvTable& table, const Schema& schema, bool drop_missing)
      : table_(table), schema_(schema), drop_(drop_missing) {
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
      const auto found = find_level(table_, row, columns_[t], levels);
      GW_CHECK(found != levels.end(), "{}: unknown level \"{}\"{}", cell_place(table_, row, columns_[t]),
               shown_cell(cell), near_miss(std::string(cell), levels));
      for (auto level = levels.begin() + 1; level != levels.end(); ++level)
        out.push_back(level == found ? 1 : 0);
    }
    return true;
  }

  bool missing(int64_t row, int64_t column) const {
    if (!table_.missing(row, column)) return false;
    GW_CHECK(drop_, "{}: the value is missing; fill it in, or leave such rows out (missing = drop)",
             cell_place(table_, row, column));
    return true;
  }

  /// `role`: what the column is to the model, which decides what may be done about text in it.
  enum class Role { kInput, kResponse, kWeight };
  double number(int64_t row, int64_t column, Role role) const {
    double value = 0;
    if (table_.number(row, column, value)) return value;
    if (table_.has_other_decimal(row, column)) refuse_decimal(table_, row, column);
    const std::string remedy = role == Role::kInput ? ", or take the column as classes: make it a factor, " +
                                                          shown(table_.header()[static_cast<size_t>(column)])
                               : role == Role::kResponse ? ", or explain classes (family = multinomial)"
                                                         : "";
    const auto cell = table_.cell(row, column);
    if (looks_missing(cell))
      fail(
          "{}: expected a number, got \"{}\"; if it stands for a missing value, name it among the missing "
          "marks{}",
          cell_place(table_, row, column), shown_cell(cell), remedy);
    fail("{}: expected a number, got \"{}\"; mend the cell{}", cell_place(table_, row, column),
         shown_cell(table_.cell(row, column)), remedy);
  }

 private:
  const CsvTable& table_;
  const Schema& schema_;
  bool drop_;
  std::vector<int64_t> columns_;
};

/// Rows that a fit reads: levels and classes are those of these rows alone. Rows of weight 0 are not among
/// them whatever else they hold, nor, if `drop_missing`, are rows with a missing value. `columns`: of inputs
/// and response.
Rows used_rows(const CsvTable& table, const std::vector<int64_t>& columns, int64_t weight, bool drop_missing,
               Frame& frame) {
  Rows rows;
  for (int64_t r = 0; r < table.rows(); ++r) {
    const auto missing = [&](int64_t column) { return table.missing(r, column); };
    double value = 1;
    if (weight >= 0 && table.number(r, weight, value) && value == 0) {
      ++frame.weightless;
    } else if (drop_missing &&
               ((weight >= 0 && missing(weight)) || std::any_of(columns.begin(), columns.end(), missing))) {
      ++frame.dropped;
    } else {
      rows.push_back(r);
    }
  }
  GW_CHECK(!rows.empty(), "csv \"{}\": every row has a missing value or weight 0; nothing is left",
           table.name());
  return rows;
}

/// Appends `rows` to the frame, whose schema they follow.
void read_rows(const CsvTable& table, const Rows& rows, bool drop_missing, bool with_response,
               const std::string& weights, Frame& frame) {
  const Schema& schema = frame.schema;
  const RowReader reader(table, schema, drop_missing);
  const int64_t response = with_response ? table.column(schema.response) : -1,
                weight = weights.empty() ? -1 : table.column(weights);
  std::vector<double> values;
  for (const int64_t r : rows) {
    values.clear();
    if ((response >= 0 && reader.missing(r, response)) || (weight >= 0 && reader.missing(r, weight)) ||
        !reader.read(r, values)) {
      ++frame.dropped;
      continue;
    }
    if (response >= 0 && schema.classes.empty())
      frame.y.push_back(reader.number(r, response, RowReader::Role::kResponse));
    if (response >= 0 && !schema.classes.empty()) {
      const auto found = find_level(table, r, response, schema.classes);
      if (found == schema.classes.end())
        fail("{}: unknown class \"{}\"", cell_place(table, r, response), shown_cell(table.cell(r, response)));
      frame.y.push_back(static_cast<double>(found - schema.classes.begin()));
    }
    if (weight >= 0) {
      frame.weight.push_back(reader.number(r, weight, RowReader::Role::kWeight));
      if (frame.weight.back() < 0)
        fail("{}: expected a weight of 0 or more, got {}", cell_place(table, r, weight), frame.weight.back());
    }
    frame.x.insert(frame.x.end(), values.begin(), values.end());
    frame.row.push_back(r);
  }
  GW_CHECK(!frame.row.empty(), "csv \"{}\": every row has a missing value; nothing is left", table.name());
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

namespace {
/// Columns of x of a term: a factor has one for each level but the reference.
int64_t width_of(const Term& term) {
  return std::max<int64_t>(1, static_cast<int64_t>(term.levels.size()) - 1);
}
}  // namespace

std::vector<int64_t> Schema::numeric_columns() const {
  std::vector<int64_t> columns;
  int64_t next = 0;
  for (const auto& term : terms) {
    if (term.levels.empty()) columns.push_back(next);
    next += width_of(term);
  }
  return columns;
}

std::vector<int64_t> Schema::columns_of(const std::vector<std::string>& wanted) const {
  std::vector<std::string> known;
  for (const auto& term : terms) known.push_back(term.name);
  for (const auto& name : wanted) {
    GW_CHECK(std::find(known.begin(), known.end(), name) != known.end(), "model: no input \"{}\"{}", name,
             near_miss(name, known));
  }
  std::vector<int64_t> columns;
  int64_t next = 0;
  for (const auto& term : terms) {
    const bool in = std::find(wanted.begin(), wanted.end(), term.name) != wanted.end();
    for (int64_t i = 0; i < width_of(term); ++i, ++next) {
      if (in) columns.push_back(next);
    }
  }
  return columns;
}

Frame make_frame(const CsvTable& table, const FrameOptions& o) {
  if (!o.response.empty()) table.column(o.response);
  if (!o.weights.empty()) table.column(o.weights);
  for (const auto& name : o.factors) table.column(name);
  Frame frame;
  Schema& schema = frame.schema;
  schema.response = o.response;
  std::vector<std::string> inputs = o.inputs;
  for (int64_t column = 0; o.inputs.empty() && column < table.columns(); ++column) {
    const auto& name = table.header()[static_cast<size_t>(column)];
    if (name == o.response || name == o.weights) continue;
    (table.unnamed(column) ? frame.unnamed : inputs).push_back(name);
  }
  std::vector<int64_t> columns;
  if (!o.response.empty()) columns.push_back(table.column(o.response));
  for (const auto& name : inputs) {
    GW_CHECK(name != o.response, "model: \"{}\" is the response and cannot explain itself", shown(name));
    columns.push_back(table.column(name));
  }
  const Rows rows =
      used_rows(table, columns, o.weights.empty() ? -1 : table.column(o.weights), o.drop_missing, frame);
  for (const auto& name : inputs) {
    const bool factor = std::find(o.factors.begin(), o.factors.end(), name) != o.factors.end();
    schema.terms.push_back(make_term(table, name, factor, rows));
  }
  if (o.classes && !o.response.empty()) {
    schema.classes = levels_of(table, table.column(o.response), rows);
    GW_CHECK(schema.classes.size() >= 2, "csv \"{}\", column \"{}\": expected at least 2 classes, got {}",
             table.name(), o.response, schema.classes.size());
  }
  read_rows(table, rows, o.drop_missing, !o.response.empty(), o.weights, frame);
  return frame;
}

Frame apply_schema(const CsvTable& table, const Schema& schema, bool drop_missing, bool with_response) {
  Frame frame;
  frame.schema = schema;
  Rows all(static_cast<size_t>(table.rows()));
  std::iota(all.begin(), all.end(), int64_t{0});
  read_rows(table, all, drop_missing, with_response, "", frame);
  return frame;
}

Json to_json(const Schema& schema) {
  Json terms = Json::array();
  for (const auto& term : schema.terms) {
    Json one{{"name", term.name}};
    if (!term.levels.empty()) one["levels"] = term.levels, one["reference"] = term.levels.front();
    terms.push_back(std::move(one));
  }
  Json json{{"response", schema.response}, {"terms", terms}};
  if (!schema.classes.empty()) json["classes"] = schema.classes;
  return json;
}

Schema schema_from_json(const Json& json, const std::string& where) {
  try {
    Schema schema;
    schema.response = json.at("response").get<std::string>();
    for (const auto& term : json.at("terms")) {
      schema.terms.push_back(
          {term.at("name").get<std::string>(), term.value("levels", std::vector<std::string>{})});
    }
    schema.classes = json.value("classes", std::vector<std::string>{});
    return schema;
  } catch (const JsonError& error) {
    fail("{}: the description of the columns is damaged: {}", where, error.what());
  }
}

}  // namespace gw::inline data
