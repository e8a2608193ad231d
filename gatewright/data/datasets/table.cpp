// A CSV table, read as `gatewright fit` reads it: numbers standardised, factors as columns of 0 and 1.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/rng.h"
#include "gatewright/data/dataset.h"
#include "gatewright/data/frame.h"
#include "gatewright/data/locate.h"
#include "gatewright/data/target_table.h"

namespace {

/// Rows of a table in a seeded order, the last `test_share` of it for the test.
/// Fields: "x" [n, D] with mean 0 and deviation 1 over the training rows; a response of numbers gives "y"
/// [n], standardised likewise
///         (TaskData::y_scale undoes it), a response of classes "label" [n]; several targets the field
///         "targets" (gatewright/data/target_table.h).
/// Errors: those of gatewright/data/csv.h and gatewright/data/frame.h; ValueError for a column of weights,
///         for fewer than 4 rows.
class Table : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::string path = "iris.csv", response = "species";
    std::vector<std::string> inputs, factors, targets;
    bool classes = true, drop_missing = false;
    double test_share = 0.2;
    int64_t seed = 0;
    void fields(gw::OptionVisitor& v) override {
      v.text(
          "path", path,
          "CSV file, plain or gzip: a path, a name in $GATEWRIGHT_DATA, or one that comes with the project");
      v.text("response", response, "column to predict");
      v.texts("inputs", inputs, "columns to predict from; empty: all others");
      v.texts("factors", factors, "numbers that are names of groups");
      v.texts("targets", targets,
              "several columns to predict at once, in place of the response; their values may be missing");
      v.flag("classes", classes, "the response is a class, not a number");
      v.flag("drop_missing", drop_missing, "leave rows with missing values out instead of refusing them");
      v.real("test_share", test_share, "share of the rows that is held out for the test", 0.01, 0.9);
      v.integer("seed", seed, "of the order in which rows are split", 0, INT64_MAX);
    }
  };
  static constexpr const char* kSummary =
      "a CSV table: a number or a class to predict from its other columns";
  static constexpr const char* kSource = "";

  Table(Options options, const Context&) : options_(std::move(options)) {}

  std::vector<std::string> targets() const override { return options_.targets; }

  gw::TaskData load() override {
    if (!options_.targets.empty()) return load_targets();
    gw::FrameOptions wanted;
    wanted.response = options_.response, wanted.inputs = options_.inputs, wanted.factors = options_.factors;
    wanted.classes = options_.classes, wanted.drop_missing = options_.drop_missing;
    const auto path = gw::find_file("datasets/table", options_.path);
    const auto frame = gw::make_frame(gw::load_csv(path), wanted);
    const int64_t n = frame.size(), d = static_cast<int64_t>(frame.schema.columns().size());
    GW_CHECK(n >= 4 && d >= 1,
             "datasets/table: expected at least 4 rows and an input in \"{}\", got {} rows and {} inputs",
             path, n, d);
    const int64_t held =
        std::clamp<int64_t>(std::llround(options_.test_share * static_cast<double>(n)), 1, n - 2);
    const auto order = gw::Rng(static_cast<uint64_t>(options_.seed)).fork("datasets/table").permutation(n);
    const auto rows = at::tensor(order, at::kLong);
    const auto first = rows.narrow(0, 0, n - held), last = rows.narrow(0, n - held, held);
    gw::TaskData data;
    const auto x = at::tensor(frame.x, at::kDouble).view({n, d});
    const auto y = at::tensor(frame.y, at::kDouble);
    gw::TensorSet all{{{"x", standardised(x, first).to(at::kFloat)}}};
    if (options_.classes) {
      all.fields["label"] = y.to(at::kLong);
      data.class_names = frame.schema.classes;
      data.classes = static_cast<int64_t>(data.class_names.size());
    } else {
      all.fields["y"] = standardised(y, first).to(at::kFloat);
      data.y_scale = deviation(y.index_select(0, first)).item<double>();
    }
    data.train = all.rows(first), data.test = all.rows(last);
    data.numeric = frame.schema.numeric_columns(), data.fields = fields_of(frame.schema);
    data.origin = path;
    return data;
  }

  std::string missing() override { return ""; }

 private:
  gw::TaskData load_targets() const {
    const auto path = gw::find_file("datasets/table", options_.path);
    return gw::target_table(gw::load_csv(path),
                            {options_.targets, options_.inputs, options_.factors, options_.drop_missing,
                             options_.test_share, static_cast<uint64_t>(options_.seed)});
  }

  static std::vector<gw::InputField> fields_of(const gw::Schema& schema) {
    std::vector<gw::InputField> fields;
    for (const auto& term : schema.terms) {
      const auto columns = schema.columns_of({term.name});
      if (!columns.empty())
        fields.push_back(
            {term.name, columns.front(), static_cast<int64_t>(columns.size()), term.levels.empty()});
    }
    return fields;
  }

  static at::Tensor deviation(const at::Tensor& rows) {
    const auto s = (rows - rows.mean(0, true)).square().mean(0).sqrt();
    return at::where(s > 0, s, at::ones_like(s));  // constant in the training rows
  }

  static at::Tensor standardised(const at::Tensor& values, const at::Tensor& first) {
    const auto seen = values.index_select(0, first);
    return (values - seen.mean(0)) / deviation(seen);
  }

  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, Table);
