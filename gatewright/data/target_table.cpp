#include "gatewright/data/target_table.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/base/rng.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/frame.h"

namespace gw::inline data {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

bool among(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Those of `names` that are in the table's columns `wanted`.
std::vector<std::string> both(const std::vector<std::string>& names, const std::vector<std::string>& wanted) {
  std::vector<std::string> out;
  for (const auto& name : names) {
    if (among(wanted, name)) out.push_back(name);
  }
  return out;
}

std::vector<std::string> inputs_of(const CsvTable& table, const TargetTableOptions& o) {
  for (size_t t = 0; t < o.targets.size(); ++t) {
    table.column(o.targets[t]);
    GW_CHECK(std::count(o.targets.begin(), o.targets.end(), o.targets[t]) == 1,
             "target_table: expected each target once, got \"{}\" twice", shown(o.targets[t]));
    GW_CHECK(!among(o.inputs, o.targets[t]), "target_table: \"{}\" is a target and cannot be an input too",
             shown(o.targets[t]));
  }
  if (!o.inputs.empty()) return o.inputs;
  std::vector<std::string> inputs;
  for (int64_t column = 0; column < table.columns(); ++column) {
    const auto& name = table.header()[static_cast<size_t>(column)];
    if (!table.unnamed(column) && !among(o.targets, name)) inputs.push_back(name);
  }
  GW_CHECK(!inputs.empty(), "target_table: expected a column beside the targets in \"{}\", got none",
           table.name());
  return inputs;
}

/// One target by rows of the table, NaN where it has no value; the names of its classes, none of numbers.
struct Column {
  std::vector<double> value;
  std::vector<std::string> classes;
};

/// A table of this column alone, read as inputs are, brings the same levels, checks and messages.
Column column_of(const CsvTable& table, const std::string& name, const TargetTableOptions& o) {
  const int64_t place = table.column(name);
  int64_t rows = 0;
  for (int64_t r = 0; r < table.rows(); ++r) rows += table.missing(r, place) ? 0 : 1;
  GW_CHECK(rows > 0,
           "target_table: expected rows with a value of \"{}\", got none of {}; a task without rows cannot "
           "be learned: leave it out of the targets",
           shown(name), table.rows());
  FrameOptions wanted;
  wanted.inputs = {name}, wanted.factors = both(o.factors, {name}), wanted.drop_missing = true;
  const auto frame = make_frame(table, wanted);
  Column out{std::vector<double>(static_cast<size_t>(table.rows()), kNone), frame.schema.terms[0].levels};
  const size_t width = std::max<size_t>(out.classes.size(), 2) - 1;
  for (size_t i = 0; i < frame.row.size(); ++i) {
    double value = out.classes.empty() ? frame.x[i] : 0;
    for (size_t level = 0; !out.classes.empty() && level < width; ++level) {
      if (frame.x[i * width + level] == 1) value = static_cast<double>(level + 1);
    }
    out.value[static_cast<size_t>(frame.row[i])] = value;
  }
  return out;
}

/// Those of the training rows that are there. Errors: ValueError for a task that nobody could learn.
at::Tensor learnable(const at::Tensor& values, const std::string& name) {
  const auto seen = values.masked_select(at::isfinite(values));
  GW_CHECK(
      seen.numel() >= 2 && seen.max().item<double>() > seen.min().item<double>(),
      "target_table: expected training rows with different values of \"{}\", got {} that are all the same; "
      "leave it out of the targets",
      shown(name), seen.numel());
  return seen;
}

/// Mean and deviation.
std::pair<double, double> moments(const at::Tensor& seen) {
  const double mean = seen.mean().item<double>();
  return {mean, std::sqrt((seen - mean).square().mean().item<double>())};
}

at::Tensor standardised_inputs(const Frame& frame, const std::vector<int64_t>& at, int64_t training) {
  const auto d = static_cast<int64_t>(frame.schema.columns().size());
  const auto x =
      at::tensor(frame.x, at::kDouble).view({frame.size(), d}).index_select(0, at::tensor(at, at::kLong));
  const auto seen = x.narrow(0, 0, training);
  const auto deviation = (seen - seen.mean(0)).square().mean(0).sqrt();
  return ((x - seen.mean(0)) / at::where(deviation > 0, deviation, at::ones_like(deviation))).to(at::kFloat);
}

/// Places in the frame of the rows that have a target.
std::vector<int64_t> with_a_target(const Frame& frame, const std::vector<Column>& columns) {
  std::vector<int64_t> kept;
  for (size_t i = 0; i < frame.row.size(); ++i) {
    const auto row = static_cast<size_t>(frame.row[i]);
    const bool any =
        std::any_of(columns.begin(), columns.end(), [&](const auto& c) { return !std::isnan(c.value[row]); });
    if (any) kept.push_back(static_cast<int64_t>(i));
  }
  return kept;
}

}  // namespace

TaskData target_table(const CsvTable& table, const TargetTableOptions& o) {
  FrameOptions wanted;
  wanted.inputs = inputs_of(table, o), wanted.factors = both(o.factors, wanted.inputs);
  wanted.drop_missing = o.drop_missing;
  for (const auto& name : o.factors) table.column(name);
  const auto frame = make_frame(table, wanted);
  std::vector<Column> columns;
  for (const auto& name : o.targets) columns.push_back(column_of(table, name, o));
  const auto kept = with_a_target(frame, columns);
  const auto n = static_cast<int64_t>(kept.size());
  GW_CHECK(n >= 4, "target_table: expected at least 4 rows with a target in \"{}\", got {}", table.name(), n);
  const int64_t held = std::clamp<int64_t>(std::llround(o.test_share * static_cast<double>(n)), 1, n - 2);
  std::vector<int64_t> at;
  for (const int64_t place : Rng(o.seed).fork("datasets/table").permutation(n))
    at.push_back(kept[static_cast<size_t>(place)]);
  TaskData data;
  std::vector<at::Tensor> targets;
  std::vector<int64_t> classes;
  for (size_t t = 0; t < columns.size(); ++t) {
    std::vector<double> values;
    for (const int64_t i : at)
      values.push_back(columns[t].value[static_cast<size_t>(frame.row[static_cast<size_t>(i)])]);
    auto column = at::tensor(values, at::kDouble);
    TargetColumn target{o.targets[t], columns[t].classes};
    const auto seen = learnable(column.narrow(0, 0, n - held), o.targets[t]);
    if (target.class_names.empty()) {
      const auto [mean, deviation] = moments(seen);
      column = (column - mean) / deviation, target.scale = deviation;
    }
    targets.push_back(column.to(at::kFloat));
    classes.push_back(static_cast<int64_t>(target.class_names.size()));
    data.targets.push_back(std::move(target));
  }
  TensorSet all{{{"x", standardised_inputs(frame, at, n - held)}, {"targets", at::stack(targets, 1)}}};
  all.common["target_classes"] = at::tensor(classes, at::kLong);
  data.train = all.rows(at::arange(n - held, at::kLong));
  data.test = all.rows(at::arange(n - held, n, at::kLong));
  data.origin = table.name();
  return data;
}

}  // namespace gw::inline data
