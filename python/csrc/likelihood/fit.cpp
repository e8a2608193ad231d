#include <pybind11/stl.h>

#include <numeric>

#include "gatewright/base/json_text.h"
#include "python/csrc/likelihood/fit_options.h"
#include "python/csrc/likelihood/model.h"
#include "python/csrc/likelihood/running.h"

namespace py = pybind11;

namespace gw::python {
namespace {

Frame frame_of(const Array& x, const Array& y, const std::optional<Array>& weight,
               const std::string& schema) {
  Frame frame;
  frame.schema = schema_from_json(parse_json(schema, "schema"), "schema");
  const auto data =
      view_of(x, &y, weight ? &*weight : nullptr, static_cast<int64_t>(frame.schema.columns().size()));
  frame.x.assign(data.x, data.x + data.n * data.d), frame.y.assign(data.y, data.y + data.n);
  if (data.weight != nullptr) frame.weight.assign(data.weight, data.weight + data.n);
  frame.row.resize(static_cast<size_t>(data.n));
  std::iota(frame.row.begin(), frame.row.end(), int64_t{0});
  return frame;
}

Model fit(const Array& x, const Array& y, const std::optional<Array>& weight, const std::string& schema,
          const std::string& options, uint64_t seed, int64_t weightless, int64_t threads) {
  FitFields fields;
  const auto given = parse_json(options, "options");
  parse_options("fit", given, fields);
  fields.resolve(given);
  fields.request.seed = seed;
  auto frame = frame_of(x, y, weight, schema);
  frame.weightless = weightless;
  likelihood::FitOutcome outcome;
  run_apart(threads, [&](const Stop& stop) {
    // A fit that is stopped ends with what it has; nobody wants that here, and to throw is sooner.
    fields.request.options.stop = [&stop] {
      if (stop.requested()) throw Interrupted("fit: interrupted; nothing is kept");
      return false;
    };
    outcome = likelihood::fit_mixtures(std::move(frame), fields.request);
  });
  return {outcome.model, likelihood::notes_of(outcome),
          likelihood::size_rows(outcome, fields.request.criterion), outcome.model.fit.trace};
}

template <class Fields>
py::list described() {
  Fields fields;
  py::list list;
  for (const auto& option : describe_options(fields)) {
    py::dict one;
    one["name"] = option.name, one["type"] = option.type, one["range"] = option.range;
    one["default"] = option.default_value, one["help"] = option.help;
    list.append(one);
  }
  return list;
}

}  // namespace

void bind_fit(py::module_& module) {
  module.def("fit", &fit, py::arg("x"), py::arg("y"), py::arg("weight"), py::arg("schema"),
             py::arg("options"), py::arg("seed"), py::arg("weightless"), py::arg("threads"));
  module.def("fit_options", &described<FitFields>);
  module.def("lasso_options", &described<LassoFields>);
  module.def("near_miss", &near_miss, py::arg("got"), py::arg("known"));
}

}  // namespace gw::python
