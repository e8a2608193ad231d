// A CSV table as tables are: numbers and text, empty cells, rare levels.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/rng.h"
#include "gatewright/data/dataset.h"
#include "gatewright/data/locate.h"
#include "gatewright/data/table_encoding.h"

namespace {

/// Rows of a table split by seed, `test_share` of every class for the test; a class of one row is trained on.
/// Fields: "x" [n, D] as gatewright/data/table_encoding.h says, "label" [n] or "y" [n] standardised over the
///         training rows (TaskData::y_scale undoes it); TaskData::encoding keeps what was learned from them.
/// Errors: those of gatewright/data/csv.h and table_encoding.h; ValueError for fewer than 8 rows.
class MixedTable : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::string path = "iris.csv", response = "species", target = "auto", separator = "auto", decimal = ".",
                comment;
    std::vector<std::string> inputs, exclude, factors, missing_marks;
    bool own_marks = false;
    double test_share = 0.2;
    int64_t rare = 3, seed = 0, most_test = 0;
    void fields(gw::OptionVisitor& v) override {
      v.text(
          "path", path,
          "CSV file, plain or gzip: a path, a name in $GATEWRIGHT_DATA, or one that comes with the project");
      v.text("response", response, "column to predict");
      v.text("target", target, "what the response is; auto: text and few whole numbers are classes",
             {"auto", "class", "number"});
      v.texts("inputs", inputs, "columns to predict from; empty: all others");
      v.texts("exclude", exclude, "columns to leave out");
      v.texts("factors", factors, "numbers that are names of groups");
      v.integer("rare", rare, "levels of fewer training rows share a column", 1, 1 << 20);
      v.text("separator", separator, "between cells", {"auto", "comma", "semicolon", "tab", "bar"});
      v.text("decimal", decimal, "decimal sign", {".", ","});
      v.text("comment", comment, "one sign that begins lines to be skipped; empty: none");
      v.flag("own_marks", own_marks, "missing_marks stand in place of NA, NaN, null and .");
      v.texts("missing_marks", missing_marks, "what stands for a missing value beside an empty cell");
      v.real("test_share", test_share, "share of the rows that is held out for the test", 0.01, 0.9);
      v.integer("most_test", most_test, "rows held out at most; 0: no limit", 0, INT64_MAX);
      v.integer("seed", seed, "of the order in which rows are split", 0, INT64_MAX);
    }
  };
  static constexpr const char* kSummary =
      "a CSV table of numbers and text, with empty cells: a class or a number to predict";
  static constexpr const char* kSource = "";

  MixedTable(Options options, const Context&) : o_(std::move(options)) {
    GW_CHECK(o_.comment.size() <= 1, "datasets/mixed_table: expected one sign for \"comment\", got \"{}\"",
             o_.comment);
  }

  gw::TaskData load() override {
    const auto path = gw::find_file("datasets/mixed_table", o_.path);
    const auto table = gw::load_csv(path, csv_options());
    const auto target = gw::read_target(table, o_.response, o_.target);
    const auto n = static_cast<int64_t>(target.rows.size());
    GW_CHECK(n >= 8, "datasets/mixed_table: expected at least 8 rows with a response in \"{}\", got {}", path,
             n);
    const auto [first, last] = split(target);
    std::vector<int64_t> training;
    for (const int64_t i : first) training.push_back(target.rows[static_cast<size_t>(i)]);
    std::vector<std::string> notes;
    auto encoding = gw::learn_encoding(table, {o_.response, o_.inputs, o_.exclude, o_.factors, o_.rare},
                                       target, training, notes);
    gw::TaskData data;
    const auto y = at::tensor(target.y, at::kDouble);
    const auto train = at::tensor(first, at::kLong), test = at::tensor(last, at::kLong);
    const auto x = gw::encode_rows(table, encoding, 0, table.rows());
    gw::TensorSet all{{{"x", x.index_select(0, at::tensor(target.rows, at::kLong))}}};
    if (target.classes.empty()) {
      standardise(y.index_select(0, train), encoding);
      all.fields["y"] = ((y - encoding.y_mean) / encoding.y_deviation).to(at::kFloat);
      data.y_scale = encoding.y_deviation;
    } else {
      all.fields["label"] = y.to(at::kLong);
      data.class_names = target.classes, data.classes = static_cast<int64_t>(target.classes.size());
    }
    data.train = all.rows(train), data.test = all.rows(test);
    data.numeric = encoding.numeric(), data.fields = encoding.fields();
    data.encoding = gw::to_json(encoding);
    data.encoding["told"] = {
        {"rows", n}, {"without_response", table.rows() - n}, {"target", target.reason}, {"notes", notes}};
    data.origin = path;
    return data;
  }

  std::string missing() override { return ""; }

 private:
  gw::CsvOptions csv_options() const {
    static const std::map<std::string, char> kSigns{
        {"auto", '\0'}, {"comma", ','}, {"semicolon", ';'}, {"tab", '\t'}, {"bar", '|'}};
    gw::CsvOptions options;
    options.separator = kSigns.at(o_.separator), options.decimal = o_.decimal.front();
    if (!o_.comment.empty()) options.comment = o_.comment.front();
    if (o_.own_marks) options.missing = o_.missing_marks;
    return options;
  }

  /// Places among the rows with a response: to train on, and to test on.
  std::pair<std::vector<int64_t>, std::vector<int64_t>> split(const gw::TableTarget& target) const {
    std::map<int64_t, std::vector<int64_t>> groups;
    for (size_t i = 0; i < target.y.size(); ++i)
      groups[target.classes.empty() ? 0 : static_cast<int64_t>(target.y[i])].push_back(
          static_cast<int64_t>(i));
    const auto rng = gw::Rng(static_cast<uint64_t>(o_.seed)).fork("datasets/mixed_table");
    const auto rows = static_cast<double>(target.y.size()), most = static_cast<double>(o_.most_test);
    const double share = o_.most_test > 0 ? std::min(o_.test_share, most / rows) : o_.test_share;
    std::vector<int64_t> first, last;
    for (const auto& [group, members] : groups) {
      const auto count = static_cast<int64_t>(members.size());
      const auto order = rng.fork("split", static_cast<uint64_t>(group)).permutation(count);
      const int64_t held = std::min(std::llround(share * static_cast<double>(count)), count - 1LL);
      for (int64_t i = 0; i < count; ++i)
        (i < count - held ? first : last)
            .push_back(members[static_cast<size_t>(order[static_cast<size_t>(i)])]);
    }
    GW_CHECK(
        !last.empty(),
        "datasets/mixed_table: expected a test_share that holds a row of some class, got {:g} of {} rows "
        "in {} classes; raise it",
        o_.test_share, target.y.size(), groups.size());
    std::sort(first.begin(), first.end()), std::sort(last.begin(), last.end());
    return {first, last};
  }

  void standardise(const at::Tensor& training, gw::TableEncoding& encoding) const {
    encoding.y_mean = training.mean().item<double>();
    encoding.y_deviation = (training - encoding.y_mean).square().mean().sqrt().item<double>();
    GW_CHECK(encoding.y_deviation > 0 && std::isfinite(encoding.y_deviation),
             "datasets/mixed_table: expected a response \"{}\" that varies over the training rows, and whose "
             "square a double holds, got a deviation of {:g} around {:g}",
             o_.response, encoding.y_deviation, encoding.y_mean);
  }

  Options o_;
};

}  // namespace

GW_REGISTER(gw::Dataset, MixedTable);
