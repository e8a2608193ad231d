#pragma once
#include <pybind11/numpy.h>

#include "gatewright/likelihood/mixture_model.h"

namespace gw::python {

using Array = pybind11::array_t<double, pybind11::array::c_style | pybind11::array::forcecast>;

/// A fitted mixture with what only its fit knows: a model file does not hold the last three.
struct Model {
  likelihood::MixtureModel mixture;
  std::vector<std::string> notes;
  std::vector<std::vector<std::string>> sizes;  ///< the table of sizes that were tried
  std::vector<double> trace;                    ///< log-likelihood after each iteration of the winning start

  int64_t columns() const { return static_cast<int64_t>(mixture.schema.columns().size()); }
};

/// Rows as the library sees them. Errors: ValueError unless x is [n, columns] and the others, where they are
/// given, [n].
likelihood::DataView view_of(const Array& x, const Array* y, const Array* weight, int64_t columns);

void bind_model(pybind11::module_& module);
void bind_fit(pybind11::module_& module);
void bind_lasso(pybind11::module_& module);

}  // namespace gw::python
