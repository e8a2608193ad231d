"""Mixtures of experts as statisticians use them: few experts with coefficients that mean something, fitted by
maximum likelihood, with standard errors (docs/statistics.md).

    from gatewright.likelihood import MixtureOfExpertsRegressor
    model = MixtureOfExpertsRegressor(experts=range(1, 5)).fit(frame[["sepal_length"]], frame["sepal_width"])
    print(model.summary())

`fit` and `load` need NumPy alone; the estimators need scikit-learn 1.6 or later. Nothing here needs torch.
"""

import importlib

from ._mixture import Mixture, load
from ._plain import fit, options

_ESTIMATORS = {
    "MixtureOfExpertsRegressor": "._estimators",
    "MixtureOfExpertsClassifier": "._estimators",
    "LassoMixtureRegressor": "._lasso",
}
__all__ = ["Mixture", "fit", "load", "options", *_ESTIMATORS]


def __getattr__(name):
    if name not in _ESTIMATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_ESTIMATORS[name], __name__), name)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "sklearn":
            raise ModuleNotFoundError(
                f"gatewright.{name} is a scikit-learn estimator, and scikit-learn is not installed: `pip "
                "install "
                "'scikit-learn>=1.6'`, or use gatewright.likelihood.fit, which needs NumPy alone",
                name="sklearn",
            ) from None
        raise


def __dir__():
    return sorted([*globals(), *_ESTIMATORS])
