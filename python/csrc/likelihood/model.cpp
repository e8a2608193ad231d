#include "python/csrc/likelihood/model.h"

#include <pybind11/stl.h>

#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/base/json_text.h"
#include "gatewright/likelihood/chunks.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/predict.h"
#include "python/csrc/likelihood/running.h"

namespace py = pybind11;

namespace gw::python {
namespace {

using likelihood::DataView;

constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();

Array matrix(int64_t rows, int64_t columns) { return Array({rows, columns}); }

/// Calls row(i) for all rows; few of them on the caller's thread. Ends early when it shall stop: then an
/// exception follows.
void for_rows(int64_t n, int64_t threads, const std::function<void(int64_t)>& row) {
  const likelihood::Chunks chunks(n);
  const auto all = [&](const Stop& stop) {
    likelihood::parallel_for(chunks.count(), [&](int64_t c) {
      for (int64_t i = chunks.begin(c); i < chunks.end(c) && !stop.requested(); ++i) row(i);
    });
  };
  chunks.count() <= 1 ? run_here(all) : run_apart(threads, all);
}

struct Columns {
  Array mean, mean_error, mean_low, mean_high, low, high, gate, expert, classes;
  Columns(int64_t n, const likelihood::MixtureSpec& spec)
      : mean(n),
        mean_error(n),
        mean_low(n),
        mean_high(n),
        low(n),
        high(n),
        gate(matrix(n, spec.experts)),
        expert(matrix(n, spec.family->classes() ? 0 : spec.experts)),
        classes(matrix(n, spec.family->classes() ? spec.classes : 0)) {}
};

void keep(const likelihood::Prediction& at, int64_t i, Columns& to) {
  to.mean.mutable_data()[i] = at.mean;
  to.low.mutable_data()[i] = at.low, to.high.mutable_data()[i] = at.high;
  to.mean_error.mutable_data()[i] = at.mean_error.value_or(kAbsent);
  to.mean_low.mutable_data()[i] = at.mean_interval ? at.mean_interval->low : kAbsent;
  to.mean_high.mutable_data()[i] = at.mean_interval ? at.mean_interval->high : kAbsent;
  const auto copy = [&](const std::vector<double>& from, Array& array) {
    std::copy(from.begin(), from.end(), array.mutable_data() + i * array.shape(1));
  };
  copy(at.gate, to.gate), copy(at.expert, to.expert), copy(at.classes, to.classes);
}

py::dict predict(const Model& model, const Array& x, double level, bool interval, bool mean_interval,
                 int64_t threads) {
  GW_CHECK(level > 0 && level < 1, "predict: expected a level between 0 and 1, got {}", level);
  const auto& fit = model.mixture.fit;
  const auto data = view_of(x, nullptr, nullptr, model.columns());
  Columns out(data.n, fit.spec);
  const likelihood::PredictionParts parts{interval, mean_interval};
  for_rows(data.n, threads, [&](int64_t i) {
    keep(likelihood::predict(fit.spec, fit.parameters, data.x + i * data.d, level, &model.mixture.inference,
                             parts),
         i, out);
  });
  py::dict result;
  result["mean"] = out.mean, result["gate"] = out.gate;
  if (fit.spec.family->classes()) {
    result["classes"] = out.classes;
    return result;
  }
  result["expert"] = out.expert;
  if (interval) result["low"] = out.low, result["high"] = out.high;
  if (mean_interval)
    result["mean_error"] = out.mean_error, result["mean_low"] = out.mean_low,
    result["mean_high"] = out.mean_high;
  return result;
}

py::tuple densities(const Model& model, const Array& x, const Array& y, int64_t threads) {
  const auto& [spec, p] = std::tie(model.mixture.fit.spec, model.mixture.fit.parameters);
  const auto data = view_of(x, &y, nullptr, model.columns());
  Array density(data.n), posterior = matrix(data.n, spec.experts);
  double *to = density.mutable_data(), *share = posterior.mutable_data();
  for_rows(data.n, threads, [&](int64_t i) {
    to[i] = likelihood::log_density(spec, p, data.x + i * data.d, data.y[i], share + i * spec.experts);
  });
  return py::make_tuple(density, posterior);
}

py::list coefficients(const Model& model) {
  py::list rows;
  for (const auto& row : likelihood::coefficient_rows(model.mixture)) {
    py::dict one;
    one["part"] = row.part, one["name"] = row.name, one["estimate"] = row.estimate;
    one["error"] = row.error, one["robust_error"] = row.robust_error, one["freedom"] = row.freedom;
    one["t"] = row.t, one["p"] = row.p, one["low"] = row.low, one["high"] = row.high;
    rows.append(one);
  }
  return rows;
}

Model from_json(const std::string& text, const std::string& where) {
  Model model{likelihood::mixture_from_json(parse_json(text, where), where), {}, {}, {}};
  model.notes = model.mixture.fit.warnings;
  const auto& more = model.mixture.inference.warnings;
  model.notes.insert(model.notes.end(), more.begin(), more.end());
  return model;
}

}  // namespace

DataView view_of(const Array& x, const Array* y, const Array* weight, int64_t columns) {
  GW_CHECK(x.ndim() == 2 && x.shape(1) == columns, "likelihood: expected x of {} columns, got {} of {}",
           columns, x.ndim() == 2 ? "a matrix" : "an array", x.ndim() == 2 ? x.shape(1) : x.ndim());
  for (const auto* list : {y, weight}) {
    GW_CHECK(list == nullptr || (list->ndim() == 1 && list->shape(0) == x.shape(0)),
             "likelihood: expected as many responses and weights as the {} rows of x, got {}", x.shape(0),
             list->size());
  }
  return {x.shape(0), columns, x.data(), y != nullptr ? y->data() : nullptr,
          weight != nullptr ? weight->data() : nullptr};
}

void bind_model(py::module_& module) {
  py::class_<Model>(module, "Model", "A fitted mixture; gatewright.likelihood.Mixture is its face.")
      .def("predict", &predict, py::arg("x"), py::arg("level"), py::arg("interval"), py::arg("mean_interval"),
           py::arg("threads"))
      .def("densities", &densities, py::arg("x"), py::arg("y"), py::arg("threads"))
      .def("coefficients", &coefficients)
      .def("json", [](const Model& model) { return dump_json(likelihood::to_json(model.mixture)); })
      .def_static("from_json", &from_json, py::arg("text"), py::arg("where"))
      .def("write",
           [](const Model& model, const std::string& path) { likelihood::write_model(path, model.mixture); })
      .def_static("read",
                  [](const std::string& path) {
                    const auto json = read_json(path);
                    return from_json(dump_json(json), path);
                  })
      .def_readonly("notes", &Model::notes)
      .def_readonly("sizes", &Model::sizes)
      .def_readonly("trace", &Model::trace);
}

}  // namespace gw::python
