// The extension gatewright._likelihood: mixtures by likelihood over NumPy arrays, without torch
// (docs/decisions/015-likelihood-in-python.md). Arguments arrive checked by python/gatewright/likelihood/.
#include <pybind11/pybind11.h>

#include "gatewright/base/error.h"
#include "python/csrc/likelihood/model.h"
#include "python/csrc/likelihood/running.h"

namespace {

void translate(std::exception_ptr thrown) {
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const gw::ValueError& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const gw::IoError& error) {
    PyErr_SetString(PyExc_OSError, error.what());
  } catch (const gw::NumericError& error) {
    PyErr_SetString(PyExc_ArithmeticError, error.what());
  } catch (const gw::Interrupted& error) {
    PyErr_SetString(PyExc_KeyboardInterrupt, error.what());
  } catch (const gw::Error& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

}  // namespace

PYBIND11_MODULE(_likelihood, module) {
  pybind11::register_local_exception_translator(&translate);
  gw::python::bind_model(module);
  gw::python::bind_fit(module);
  gw::python::bind_lasso(module);
  gw::python::register_shutdown();
}
