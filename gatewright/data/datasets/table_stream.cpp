// A CSV table whose rows came one after the other: a class to predict, a column of times, a protected
// attribute.
#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/dataset.h"
#include "gatewright/data/frame.h"
#include "gatewright/data/locate.h"
#include "gatewright/data/table_cells.h"

namespace {

/// Rows of a table in the order of its column `time`.
/// Fields: "x" [n, D] with mean 0 and deviation 1 over the first `warm` rows, since a stream does not know
/// what
///         comes; "label" [n]; "time" [n]; "group" [n] of the column `group`: 1 where it is `member`. Neither
///         times nor groups are among the inputs. Which levels a factor has is taken from the whole table.
/// Errors: those of gatewright/data/csv.h and gatewright/data/frame.h; ValueError naming the line for a time
///         that is no number or goes back, for a group that is missing, and for one group only.
class TableStream : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::string path = "iris.csv", response = "species", time, group, member;
    std::vector<std::string> inputs, exclude, factors;
    bool sort = false, drop_missing = false;
    int64_t warm = 200;
    double test_share = 0;
    void fields(gw::OptionVisitor& v) override {
      v.text(
          "path", path,
          "CSV file, plain or gzip: a path, a name in $GATEWRIGHT_DATA, or one that comes with the project");
      v.text("response", response, "column of classes to predict");
      v.text("time", time, "column of numbers that says when a row came");
      v.text("group", group, "column of a protected attribute; empty: none");
      v.text("member", member, "its level that is group 1; empty: the last one in alphabetic order");
      v.texts("inputs", inputs, "columns to predict from; empty: all others");
      v.texts("exclude", exclude, "columns to leave out");
      v.texts("factors", factors, "numbers that are names of groups");
      v.flag("sort", sort, "sort the rows by time instead of refusing an order that is broken");
      v.flag("drop_missing", drop_missing, "leave rows with missing values out instead of refusing them");
      v.integer("warm", warm, "first rows that say what standardised is", 2, 100000000);
      v.real("test_share", test_share, "share of the rows, the last ones, that are no part of the stream", 0,
             0.9);
    }
  };
  static constexpr const char* kSummary = "a CSV table in the order of time: a class to predict, with groups";
  static constexpr const char* kSource = "";

  TableStream(Options options, const Context&) : o_(std::move(options)) {}

  gw::TaskData load() override {
    const auto path = gw::find_file("datasets/table_stream", o_.path);
    const auto table = gw::load_csv(path);
    GW_CHECK(!o_.time.empty(),
             "datasets/table_stream: expected the column \"time\" that says when a row came, "
             "got none; a table without one is no stream, take table");
    gw::FrameOptions wanted;
    wanted.response = o_.response, wanted.inputs = inputs_of(table), wanted.classes = true;
    for (const auto& name : o_.factors) {
      if (among(wanted.inputs, name)) wanted.factors.push_back(name);
    }
    wanted.drop_missing = o_.drop_missing;
    auto frame = gw::make_frame(table, wanted);
    const auto kept = kept_rows(table, frame);
    const int64_t n = kept.numel(), d = static_cast<int64_t>(frame.schema.columns().size());
    GW_CHECK(n >= 4 && d >= 1, "datasets/table_stream: expected 4 rows and an input in \"{}\", got {} and {}",
             gw::shown(path), n, d);
    const auto times = times_of(table, frame.row);
    const auto x = at::tensor(frame.x, at::kDouble).view({-1, d}).index_select(0, kept);
    const auto label = at::tensor(frame.y, at::kDouble).to(at::kLong).index_select(0, kept);
    gw::TensorSet all{{{"x", x}, {"label", label}, {"time", at::tensor(times, at::kDouble)}}};
    if (!o_.group.empty()) all.fields["group"] = groups_of(table, frame.row);
    all = all.rows(order(times));
    all.fields["x"] = standardised(all.at("x"));
    gw::TaskData data;
    const int64_t held = static_cast<int64_t>(o_.test_share * static_cast<double>(n));
    data.train = all.rows(at::arange(n - held, at::kLong));
    data.test = all.rows(at::arange(n - held, n, at::kLong));
    data.class_names = frame.schema.classes, data.classes = static_cast<int64_t>(data.class_names.size());
    data.numeric = frame.schema.numeric_columns();
    data.origin = path;
    return data;
  }

  std::string missing() override { return ""; }

 private:
  static bool among(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  }

  std::vector<std::string> inputs_of(const gw::CsvTable& table) const {
    for (const auto& name : {o_.response, o_.time}) table.column(name);
    if (!o_.group.empty()) table.column(o_.group);
    for (const auto& name : o_.exclude) table.column(name);
    if (!o_.inputs.empty()) return o_.inputs;
    std::vector<std::string> out;
    for (int64_t column = 0; column < table.columns(); ++column) {
      const auto& name = table.header()[static_cast<size_t>(column)];
      const bool other =
          name == o_.response || name == o_.time || name == o_.group || among(o_.exclude, name);
      if (!other && !table.unnamed(column)) out.push_back(name);
    }
    return out;
  }

  /// Places in the frame of the rows to be used, whose rows of the table are then those of the frame: without
  /// a time or a group a row may be left out.
  at::Tensor kept_rows(const gw::CsvTable& table, gw::Frame& frame) const {
    std::vector<int64_t> places, rows;
    for (size_t i = 0; i < frame.row.size(); ++i) {
      const bool gone = table.missing(frame.row[i], table.column(o_.time)) ||
                        (!o_.group.empty() && table.missing(frame.row[i], table.column(o_.group)));
      if (gone && o_.drop_missing) continue;
      places.push_back(static_cast<int64_t>(i)), rows.push_back(frame.row[i]);
    }
    frame.row = rows;
    return at::tensor(places, at::kLong);
  }

  std::vector<double> times_of(const gw::CsvTable& table, const std::vector<int64_t>& rows) const {
    const int64_t column = table.column(o_.time);
    std::vector<double> out;
    for (const int64_t row : rows) {
      double time = 0;
      GW_CHECK(table.number(row, column, time),
               "datasets/table_stream: {}: expected a time, a number, got \"{}\"",
               gw::cell_place(table, row, column), gw::shown_cell(table.cell(row, column)));
      GW_CHECK(
          o_.sort || out.empty() || time >= out.back(),
          "datasets/table_stream: {}: time order broken in a stream: expected times that do not go back, "
          "got {:.15g} after {:.15g}; sort the file, or set sort = true",
          gw::cell_place(table, row, column), time, out.back());
      out.push_back(time);
    }
    return out;
  }

  /// Rows by time, equal times in the order of the file.
  static at::Tensor order(const std::vector<double>& times) {
    std::vector<int64_t> rows(times.size());
    std::iota(rows.begin(), rows.end(), int64_t{0});
    std::stable_sort(rows.begin(), rows.end(), [&](int64_t a, int64_t b) {
      return times[static_cast<size_t>(a)] < times[static_cast<size_t>(b)];
    });
    return at::tensor(rows, at::kLong);
  }

  at::Tensor groups_of(const gw::CsvTable& table, const std::vector<int64_t>& rows) const {
    const int64_t column = table.column(o_.group);
    std::vector<std::string> levels;
    for (const int64_t row : rows) {
      GW_CHECK(!table.missing(row, column),
               "datasets/table_stream: {}: expected a group, got a missing value",
               gw::cell_place(table, row, column));
      levels.push_back(gw::level_of(table, row, column));
    }
    const std::set<std::string> seen(levels.begin(), levels.end());
    const auto member = o_.member.empty() ? *seen.rbegin() : o_.member;
    GW_CHECK(
        seen.size() >= 2 && seen.count(member) > 0 && (seen.size() == 2 || !o_.member.empty()),
        "datasets/table_stream: expected two groups in column \"{}\", or its level \"member\" against the "
        "others, got {} levels and \"{}\"",
        gw::shown(o_.group), seen.size(), gw::shown(member));
    std::vector<int64_t> group;
    for (const auto& level : levels) group.push_back(level == member ? 1 : 0);
    return at::tensor(group, at::kLong);
  }

  at::Tensor standardised(const at::Tensor& x) const {
    const auto seen = x.narrow(0, 0, std::min(o_.warm, x.size(0)));
    const auto deviation = (seen - seen.mean(0)).square().mean(0).sqrt();
    return ((x - seen.mean(0)) / at::where(deviation > 0, deviation, at::ones_like(deviation)))
        .to(at::kFloat);
  }

  Options o_;
};

}  // namespace

GW_REGISTER(gw::Dataset, TableStream);
