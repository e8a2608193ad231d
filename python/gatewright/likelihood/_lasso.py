"""The Lasso in mixtures of experts as a scikit-learn estimator."""

import json
import warnings

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.exceptions import ConvergenceWarning

from .. import _likelihood
from . import _design, _options
from ._base import MixtureEstimator
from ._mixture import Mixture
from ._plain import _numbers


class LassoMixtureRegressor(RegressorMixin, MixtureEstimator):
    """Softmax-gated normal experts with an l1 penalty on the slopes of gate and experts, for more columns
    than rows.

    Minimises -(1/n) sum log p(y | x) + penalty (gate_share |gate slopes| + |expert slopes / sigma|) over
    columns of mean 0 and variance 1.

    Parameters
    ----------
    experts : how many. penalty : None: the best of `penalties` values, from the largest that matters down to
    `ratio` of it, by `criterion` ("bic", "aic"; a slope that is zero is not charged for); a number: that one.
    gate_share : penalty of the gate's slopes over that of the experts'. scaled : penalise slopes per sigma.
    formula : "y ~ a + b", the columns; both sides see all of them. factors, missing, random_state, n_jobs :
    as in MixtureOfExpertsRegressor.

    Attributes
    ----------
    penalty_ : the one that was kept. path_ : one dict per penalty. selected_ : names of columns with a slope.
    intercept_ [K], coef_ [K, columns], scale_ [K], gate_intercept_ [K], gate_coef_ [K, columns] : zeros are
    exact.
    mixture_ : the mixture over `selected_`, which `save` writes. What is shrunk has no standard errors.

    Cost: see gatewright/likelihood/lasso.h. Source: Nguyen et al. 2020, arXiv 2009.10622; slopes per sigma:
    Städler, Bühlmann, van de Geer 2010, arXiv 1202.6046.
    """

    def __init__(
        self,
        experts=2,
        *,
        penalty=None,
        penalties=20,
        ratio=0.05,
        criterion="bic",
        gate_share=1.0,
        scaled=True,
        formula=None,
        factors=None,
        missing="refuse",
        least_scale=0.02,
        sweeps=3,
        starts=4,
        iterations=1000,
        tolerance=1e-7,
        random_state=0,
        n_jobs=None,
    ):
        self.experts = experts
        self.penalty = penalty
        self.penalties = penalties
        self.ratio = ratio
        self.criterion = criterion
        self.gate_share = gate_share
        self.scaled = scaled
        self.formula = formula
        self.factors = factors
        self.missing = missing
        self.least_scale = least_scale
        self.sweeps = sweeps
        self.starts = starts
        self.iterations = iterations
        self.tolerance = tolerance
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _options(self):
        return _options.LASSO

    def fit(self, X, y=None):
        """Fits the path and keeps one penalty. X: [n, features] or a frame; y: [n]; rows have no weights.

        Errors: ValueError naming row, column or option. KeyboardInterrupt: nothing is kept.
        """
        rows = self._rows(X, y)
        if rows.experts is not None:
            raise ValueError(
                f"LassoMixtureRegressor: expected a formula without a bar, got {self.formula!r}: both sides "
                "see all columns"
            )
        names = self.get_params(deep=False)
        options = _options.as_json({name: names[name] for name in _options.LASSO})
        model, columns, best, path = _likelihood.lasso(
            rows.x,
            _numbers(rows.y),
            json.dumps(rows.schema),
            options,
            _options.seed_of(self.random_state),
            _options.threads_of(self.n_jobs),
        )
        self._describe(Mixture(model, rows.schema, columns))
        self.path_, self.penalty_ = path, path[best]["penalty"]
        self._place(rows.x.shape[1], columns, _design.columns_of(rows.schema))
        if not self.converged_:
            warnings.warn(f"LassoMixtureRegressor: {self.notes_[0]}", ConvergenceWarning, stacklevel=2)
        return self

    def _place(self, width, columns, names):
        p, spec = self.mixture_.parameters, self.mixture_.description["model"]
        experts, columns = self.mixture_.experts, np.array(columns, dtype=int)
        self.gate_intercept_, self.intercept_, self.scale_ = (
            np.array(p[name]) for name in ("gate_bias", "intercept", "scale")
        )
        for name, slopes, used in (
            ("gate_coef_", p["gate_slope"], spec["gate_columns"]),
            ("coef_", p["slope"], spec["expert_columns"]),
        ):
            out = np.zeros((experts, width))
            out[:, columns[np.array(used, dtype=int)]] = np.array(slopes).reshape(experts, -1)
            setattr(self, name, out)
        used = (self.gate_coef_ != 0).any(axis=0) | (self.coef_ != 0).any(axis=0)
        self.selected_ = [name for name, one in zip(names, used, strict=False) if one]

    def predict(self, X):
        """Means [n]."""
        return self._fitted_mixture().predict(self._matrix(X), n_jobs=self.n_jobs)

    def predict_interval(self, X, level=0.95):
        """Low and high [n, 2] for a new y, as if the parameters were known."""
        return self._fitted_mixture().predict_interval(self._matrix(X), level, n_jobs=self.n_jobs)
