"""Mixtures of experts as scikit-learn estimators."""

from typing import ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets

from . import _tables
from ._base import MixtureEstimator
from ._mixture import load


class _ByLikelihood(MixtureEstimator):
    """What regressor and classifier have in common: options of `gatewright fit`, attributes of what was
    fitted."""

    def _settings(self):
        known = self.get_params(deep=False)
        return {name: known[name] for name in self._options() if name in known} | self._fixed

    def fit(self, X, y=None, sample_weight=None):
        """Fits the mixture.

        X: array [n, features], pandas or polars frame; text in a frame is a factor against its first level.
        y: [n]; None where `formula` names a column of X. sample_weight: [n] or None; a weight of 2 is the row
        twice.
        Errors: ValueError naming row, column or option. KeyboardInterrupt: nothing is kept.
        """
        rows = self._rows(X, y, sample_weight)
        self._keep(self._fitted(rows), rows)
        return self

    def _keep(self, mixture, rows=None):
        self._describe(mixture)
        p = mixture.parameters
        experts, columns = mixture.experts, len(mixture.columns)
        spec = mixture.description["model"]
        self.n_experts_ = experts
        self.gate_intercept_ = np.array(p["gate_bias"])
        self.gate_coef_ = _spread(
            np.array(p["gate_slope"]).reshape(experts, -1), spec.get("gate_columns"), columns
        )
        outputs = len(p["intercept"]) // experts
        slope = np.array(p["slope"]).reshape(experts, outputs, -1)
        self.intercept_ = np.array(p["intercept"]).reshape(experts, outputs)
        self.coef_ = _spread(slope, spec.get("expert_columns"), columns)
        if not mixture.classes:
            self.intercept_, self.coef_ = self.intercept_[:, 0], self.coef_[:, 0]
            self.scale_ = np.array(p["scale"])
        table = mixture.coefficients()
        self.parameter_names_ = [f"{row['part']}: {row['name']}" for row in table]
        self.standard_errors_ = _or_nan(table, "error")
        self.robust_standard_errors_ = _or_nan(table, "robust_error")

    @classmethod
    def from_file(cls, path):
        """The estimator of a model file that `gatewright fit --out` or `save` wrote.

        Options that a file does not hold (starts, tolerance, …) have their defaults.
        Errors: OSError; ValueError for a file of the other kind.
        """
        mixture = load(path)
        cls._check_kind(mixture)
        spec = mixture.description["model"]
        given = {
            name: spec[name]
            for name in ("experts", "family", "gate", "top_k", "select_with_bias", "activation")
            if name in spec
        }
        self = cls(**{name: value for name, value in given.items() if name in cls._get_param_names()})
        terms = [term["name"] for term in mixture.description["schema"]["terms"]]
        self.n_features_in_, self.feature_names_in_ = len(terms), np.array(terms, dtype=object)
        if terms == [f"x{j}" for j in range(len(terms))]:  # fitted to an array
            del self.feature_names_in_
        self._labels(mixture)
        self._keep(mixture)
        return self

    def _labels(self, mixture):
        pass


class MixtureOfExpertsRegressor(RegressorMixin, _ByLikelihood):
    """Mixture of experts for a number, fitted by maximum likelihood: p(y | x) = sum_k gate_k(x) f_k(y | x).

    Parameters
    ----------
    experts : how many: 3, or "2..6" or range(2, 7) to compare by `criterion`.
    family : "gaussian", "laplace", "student_t": what an expert's response follows.
    gate : "softmax", "top_k", "dense_to_sparse", "modified": how inputs become prior probabilities.
    formula : "y ~ a + b | c": experts see a and b, the gate sees c; None: both see all columns.
    factors, missing : columns of numbers that are levels; "refuse" or "drop" rows with missing values.
    random_state : seed of the starts and folds, as `gatewright fit --seed`; a generator or None draws one.
    n_jobs : threads; None: what OpenMP gives.
    The others are options of `gatewright fit`, listed in docs/python-statistics.md.

    Attributes
    ----------
    mixture_ : Mixture. n_experts_ : experts of the size that was chosen.
    intercept_ [K], coef_ [K, columns], scale_ [K] : the experts; NaN in columns that they do not see.
    gate_intercept_ [K], gate_coef_ [K, columns] : the gate; the last expert's is zero.
    standard_errors_, robust_standard_errors_ [P] : of `parameter_names_`; NaN where the data do not determine
    it. log_likelihood_, n_iter_, converged_, notes_.

    Cost: iterations · n · K · columns², times starts. Source: Jordan and Jacobs 1994 (docs/statistics.md for
    the rest).
    """

    _fixed: ClassVar[dict] = {}

    def __init__(
        self,
        experts=2,
        *,
        family="gaussian",
        gate="softmax",
        top_k=1,
        select_with_bias=True,
        activation="tanh",
        formula=None,
        gate_inputs=None,
        expert_inputs=None,
        factors=None,
        missing="refuse",
        criterion="bic",
        folds=0,
        starts=10,
        start="mixed",
        replacements=12,
        gate_solver="newton",
        iterations=2000,
        tolerance=1e-10,
        narrow_experts="refuse",
        least_rows=0.0,
        least_scale=1e-6,
        ridge=1e-6,
        random_state=0,
        n_jobs=None,
    ):
        self.experts = experts
        self.family = family
        self.gate = gate
        self.top_k = top_k
        self.select_with_bias = select_with_bias
        self.activation = activation
        self.formula = formula
        self.gate_inputs = gate_inputs
        self.expert_inputs = expert_inputs
        self.factors = factors
        self.missing = missing
        self.criterion = criterion
        self.folds = folds
        self.starts = starts
        self.start = start
        self.replacements = replacements
        self.gate_solver = gate_solver
        self.iterations = iterations
        self.tolerance = tolerance
        self.narrow_experts = narrow_experts
        self.least_rows = least_rows
        self.least_scale = least_scale
        self.ridge = ridge
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _settings(self):
        if self.family == "multinomial":
            raise ValueError(
                'MixtureOfExpertsRegressor: expected a family of numbers, got "multinomial"; use '
                "MixtureOfExpertsClassifier"
            )
        return super()._settings()

    @staticmethod
    def _check_kind(mixture):
        if mixture.classes:
            raise ValueError(
                "MixtureOfExpertsRegressor: expected a model of numbers, got classes; use "
                "MixtureOfExpertsClassifier.from_file"
            )

    def predict(self, X):
        """Means [n]."""
        return self._fitted_mixture().predict(self._matrix(X), n_jobs=self.n_jobs)

    def predict_interval(self, X, level=0.95, of="response"):
        """Low and high [n, 2] for a new y, or with of="mean" for the mean (1 ms a row); see
        Mixture.predict_interval."""
        return self._fitted_mixture().predict_interval(self._matrix(X), level, of, n_jobs=self.n_jobs)


class MixtureOfExpertsClassifier(ClassifierMixin, _ByLikelihood):
    """Mixture of multinomial regressions behind a gate, fitted by maximum likelihood.

    Parameters are those of MixtureOfExpertsRegressor without a family and scales, and
    class_ridge : on squared slopes of the classes; 0.1 to 1 is the penalised fit where classes are separated.
    classes_ : the labels, sorted. intercept_ [K, C - 1] and coef_ [K, C - 1, columns] are log odds of each
    class against the last one, classes in the order of `mixture_.classes`.
    """

    _fixed: ClassVar[dict] = {"family": "multinomial"}

    def __init__(
        self,
        experts=2,
        *,
        gate="softmax",
        top_k=1,
        select_with_bias=True,
        activation="tanh",
        formula=None,
        gate_inputs=None,
        expert_inputs=None,
        factors=None,
        missing="refuse",
        criterion="bic",
        folds=0,
        starts=10,
        start="mixed",
        gate_solver="newton",
        iterations=2000,
        tolerance=1e-10,
        least_rows=0.0,
        ridge=1e-6,
        class_ridge=1e-6,
        random_state=0,
        n_jobs=None,
    ):
        self.experts = experts
        self.gate = gate
        self.top_k = top_k
        self.select_with_bias = select_with_bias
        self.activation = activation
        self.formula = formula
        self.gate_inputs = gate_inputs
        self.expert_inputs = expert_inputs
        self.factors = factors
        self.missing = missing
        self.criterion = criterion
        self.folds = folds
        self.starts = starts
        self.start = start
        self.gate_solver = gate_solver
        self.iterations = iterations
        self.tolerance = tolerance
        self.least_rows = least_rows
        self.ridge = ridge
        self.class_ridge = class_ridge
        self.random_state = random_state
        self.n_jobs = n_jobs

    @staticmethod
    def _check_kind(mixture):
        if not mixture.classes:
            raise ValueError(
                "MixtureOfExpertsClassifier: expected a model of classes, got numbers; use "
                "MixtureOfExpertsRegressor.from_file"
            )

    def _rows(self, X, y, sample_weight):
        if y is not None:
            check_classification_targets(y)
        rows = super()._rows(X, y, sample_weight)
        self.classes_ = np.unique(rows.y)
        return rows

    def _keep(self, mixture, rows=None):
        super()._keep(mixture, rows)
        texts = [_tables.label_text(value) for value in self.classes_.tolist()]
        self._order = np.array([mixture.classes.index(text) for text in texts])

    def _labels(self, mixture):
        self.classes_ = np.unique(_values(mixture.classes))

    def predict_proba(self, X):
        """Probabilities [n, classes], in the order of `classes_`."""
        return self._fitted_mixture().predict_proba(self._matrix(X), n_jobs=self.n_jobs)[:, self._order]

    def predict_log_proba(self, X):
        """Logarithms of predict_proba."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X):
        """The likeliest classes [n]; of equal ones the first."""
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]


def _values(texts):
    """Labels from a file: numbers if all are written as numbers are, else text."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return np.array(texts, dtype=object)
    if [_tables.number_text(number) for number in numbers] != list(texts):
        return np.array(texts, dtype=object)
    whole = all(number == int(number) for number in numbers)
    return np.array(numbers, dtype=int if whole else float)


def _spread(slopes, columns, width):
    """Slopes in the places of their columns, NaN where a column is not seen."""
    if columns is None:
        return slopes
    out = np.full((*slopes.shape[:-1], width), np.nan)
    out[..., columns] = slopes
    return out


def _or_nan(table, name):
    return np.array([np.nan if row[name] is None else row[name] for row in table])
