"""What all estimators share: checks of X and y as scikit-learn wants them, and what a fitted mixture
answers."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from . import _options, _tables
from ._formula import Formula
from ._plain import Rows, fit_rows


class MixtureEstimator(BaseEstimator):
    """Base of the estimators. Not for use by itself."""

    def __new__(cls, *args, **kwargs):
        _options.refuse_unknown(cls.__name__, kwargs, cls._get_param_names())
        return super().__new__(cls)

    def set_params(self, **params):
        """Sets parameters. Errors: ValueError with the near miss."""
        _options.refuse_unknown(type(self).__name__, params, self._get_param_names())
        return super().set_params(**params)

    def _options(self):
        return _options.FIT

    def _rows(self, X, y, sample_weight=None):
        """X and y checked, as fits read them; n_features_in_ and feature_names_in_ are set."""
        formula = self._formula()
        if formula is not None and y is None and _tables.has_names(X):
            names = _tables.column_names(X)
            y = _tables.values_of(X, formula.response) if formula.response in names else None
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        name = formula.response if formula and formula.response else getattr(y, "name", None)
        if _tables.has_names(X):
            X = self._inputs_of(X)
            validate_data(self, X, skip_check_array=True)
            y = column_or_1d(y, warn=True)
            check_consistent_length(X, y, sample_weight)
        else:
            X, y = validate_data(
                self,
                X,
                y,
                dtype=np.float64,
                order="C",
                ensure_min_samples=2,
                y_numeric=False,
                ensure_all_finite="allow-nan" if self.missing == "drop" else True,
            )
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        return Rows(X, _Named(y, name), sample_weight, self._right_side(), self.factors, self.missing)

    def _formula(self):
        return None if self.formula is None else Formula(self.formula)

    def _right_side(self):
        """The formula without its response, which is y now."""
        return None if self.formula is None else "~" + self.formula.split("~")[1]

    def _inputs_of(self, X):
        """The columns of a frame that are inputs: all without a formula."""
        formula = self._formula()
        if formula is None:
            _tables.column_names(X)
            return X
        names = _tables.column_names(X)
        known = [name for name in formula.inputs(names) if name in names]
        return _tables.select(X, known or names)  # an unknown name is refused with its near miss later

    def _fitted(self, rows):
        mixture = fit_rows(
            rows, self._settings(), _options.seed_of(self.random_state), _options.threads_of(self.n_jobs)
        )
        if not mixture.description["fit"]["converged"]:
            warnings.warn(f"{type(self).__name__}: {mixture.notes[0]}", ConvergenceWarning, stacklevel=3)
        return mixture

    def _describe(self, mixture):
        self.mixture_ = mixture
        self.log_likelihood_ = mixture.log_likelihood
        self.n_iter_ = mixture.description["fit"]["iterations"]
        self.converged_ = mixture.description["fit"]["converged"]
        self.notes_ = mixture.notes

    def _fitted_mixture(self):
        check_is_fitted(self, "mixture_")
        return self.mixture_

    def _matrix(self, X):
        """X as it was checked in the fit."""
        check_is_fitted(self, "mixture_")
        if _tables.has_names(X):
            X = self._known_columns(X)
            validate_data(self, X, reset=False, skip_check_array=True)
            return X
        return validate_data(self, X, reset=False, dtype=np.float64, order="C")

    def _known_columns(self, X):
        """With a formula, further columns of a frame do not matter."""
        if self.formula is None or not hasattr(self, "feature_names_in_"):
            return X
        names = _tables.column_names(X)
        return _tables.select(X, [name for name in self.feature_names_in_ if name in names])

    def responsibilities(self, X, y):
        """Posterior probabilities of the experts [n, K], given y [n]."""
        return self._fitted_mixture().responsibilities(self._matrix(X), y, n_jobs=self.n_jobs)

    def gate_probabilities(self, X):
        """Prior probabilities of the experts [n, K]."""
        return self._fitted_mixture().gate_probabilities(self._matrix(X), n_jobs=self.n_jobs)

    def log_density(self, X, y):
        """log p(y | x) [n]; its mean is a score for choosing the number of experts."""
        return self._fitted_mixture().log_density(self._matrix(X), y, n_jobs=self.n_jobs)

    def prediction_table(self, X, y=None, level=0.95):
        """The columns of `gatewright predict` as a dict of arrays [n]."""
        return self._fitted_mixture().prediction_table(self._matrix(X), y, level, n_jobs=self.n_jobs)

    def aic(self):
        """Akaike's criterion of the fit, -2 L + 2 p; smaller is better."""
        return self._fitted_mixture().aic()

    def bic(self):
        """-2 L + p log n, n the sum of the weights; smaller is better."""
        return self._fitted_mixture().bic()

    def icl(self):
        """BIC plus twice the entropy of the responsibilities (Biernacki, Celeux, Govaert 2000)."""
        return self._fitted_mixture().icl()

    def summary(self):
        """The tables of `gatewright fit` as text."""
        return self._fitted_mixture().summary()

    def save(self, path):
        """Writes the model file that `gatewright predict` and `gatewright.likelihood.load` read. Errors:
        OSError."""
        self._fitted_mixture().save(path)


class _Named(np.ndarray):
    """A response with the name that its column had."""

    def __new__(cls, y, name):
        self = np.asarray(y).view(cls)
        self.name = name
        return self

    def __array_finalize__(self, other):
        self.name = getattr(other, "name", None)
