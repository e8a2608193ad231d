"""A fitted mixture, without scikit-learn."""

import json
import os

import numpy as np

from .. import _likelihood
from . import _design, _summary, _tables


class Mixture:
    """A mixture of experts fitted by maximum likelihood, from `fit` or from a model file (`load`).

    family, gate, experts, classes: the model; `classes` are texts, empty for numbers.
    description: the model file as a dict; parameters, criteria, fit: its tables.
    notes: what must be told beside the numbers. dropped: rows left out for a missing value. trace:
    log-likelihood after each iteration ([] when loaded).

    X below is a frame with the model's columns, or an array [n, inputs] in their order. Methods that take
    `n_jobs` use so many threads (None: what OpenMP gives). Numbers do not depend on the threads.
    """

    def __init__(self, model, schema=None, columns=None, dropped=0):
        self._model = model
        self.description = json.loads(model.json())
        self.notes, self.sizes, self.trace = list(model.notes), list(model.sizes), np.array(model.trace)
        self._schema = (
            schema or self.description["schema"]
        )  # as tables are read; the model's may be a part of it
        self._columns = columns
        self.dropped = dropped

    @property
    def family(self):
        return self.description["model"]["family"]

    @property
    def gate(self):
        return self.description["model"]["gate"]

    @property
    def experts(self):
        return self.description["model"]["experts"]

    @property
    def classes(self):
        return self.description["schema"].get("classes", [])

    @property
    def parameters(self):
        return self.description["parameters"]

    @property
    def columns(self):
        """Names of the columns that coefficients belong to: "age", "sex=male"."""
        return _design.columns_of(self.description["schema"])

    @property
    def log_likelihood(self):
        return self.description["fit"]["log_likelihood"]

    def aic(self):
        return self.description["criteria"]["aic"]

    def bic(self):
        return self.description["criteria"]["bic"]

    def icl(self):
        return self.description["criteria"]["icl"]

    def coefficients(self):
        """One dict per free parameter: part, name, estimate, error, robust_error, freedom, t, p, low, high
        (95 %).

        None where a number does not exist: what the data do not determine has no error.
        """
        return self._model.coefficients()

    def summary(self):
        """The tables of `gatewright fit` as text."""
        return _summary.text_of(self)

    def matrix(self, X):
        """x [n, columns] as the model reads it. Errors: ValueError for a table that does not fit the
        model."""
        x = _design.matrix(X, self._schema)
        _design.refuse_missing(x, _design.columns_of(self._schema))
        return x if self._columns is None else np.ascontiguousarray(x[:, self._columns])

    def predict(self, X, n_jobs=None):
        """Means [n]; for classes the likeliest ones [n], as text."""
        out = self._predict(X, n_jobs=n_jobs)
        if not self.classes:
            return out["mean"]
        return np.array(self.classes, dtype=object)[out["mean"].astype(int)]

    def predict_interval(self, X, level=0.95, of="response", n_jobs=None):
        """Low and high [n, 2]. `of`: "response", an equal-tailed interval for a new y from the mixture's own
        quantiles, or "mean", for the mean (1 ms a row), NaN where the mean depends on what the data do not
        determine.

        Errors: ValueError for classes, or unless 0 < level < 1. Source: docs/statistics.md, "What it is
        worth".
        """
        if self.classes:
            raise ValueError("predict_interval: expected a model of numbers, got classes; use predict_proba")
        if of not in ("response", "mean"):
            raise ValueError(
                f'predict_interval: unknown value "{of}" for '
                f'"of"{_likelihood.near_miss(str(of), ["response", "mean"])}'
            )
        out = self._predict(X, level, of == "response", of == "mean", n_jobs)
        names = ("low", "high") if of == "response" else ("mean_low", "mean_high")
        return np.column_stack([out[name] for name in names])

    def predict_proba(self, X, n_jobs=None):
        """Probabilities of the classes [n, classes], in the order of `classes`. Errors: ValueError for
        numbers."""
        if not self.classes:
            raise ValueError(
                "predict_proba: expected a model of classes, got numbers; gate_probabilities has those of "
                "the experts"
            )
        return self._predict(X, n_jobs=n_jobs)["classes"]

    def gate_probabilities(self, X, n_jobs=None):
        """Prior probabilities of the experts [n, experts], before y is seen."""
        return self._predict(X, n_jobs=n_jobs)["gate"]

    def expert_means(self, X, n_jobs=None):
        """Means of the experts [n, experts]; no columns for classes."""
        return self._predict(X, n_jobs=n_jobs).get("expert", np.empty((len(X), 0)))

    def responsibilities(self, X, y, n_jobs=None):
        """Posterior probabilities of the experts [n, experts], given y [n]."""
        return self._densities(X, y, n_jobs)[1]

    def log_density(self, X, y, n_jobs=None):
        """log p(y | x) [n]."""
        return self._densities(X, y, n_jobs)[0]

    def prediction_table(self, X, y=None, level=0.95, n_jobs=None):
        """The columns of `gatewright predict` (with `y`: of --explain) as a dict of arrays [n]."""
        out = self._predict(X, level, True, True, n_jobs)
        table = {}
        if self.classes:
            table["class"] = np.array(self.classes, dtype=object)[out["mean"].astype(int)]
            table.update({f"p_{name}": out["classes"][:, s] for s, name in enumerate(self.classes)})
        else:
            table.update(
                {name: out[name] for name in ("mean", "mean_error", "mean_low", "mean_high", "low", "high")}
            )
            table.update({f"expert_{k + 1}": out["expert"][:, k] for k in range(self.experts)})
        table.update({f"gate_{k + 1}": out["gate"][:, k] for k in range(self.experts)})
        if y is not None:
            density, share = self._densities(X, y, n_jobs)
            table["log_density"] = density
            table.update({f"responsibility_{k + 1}": share[:, k] for k in range(self.experts)})
        return table

    def save(self, path):
        """Writes the model file that `gatewright predict` reads; replaced whole or not at all. Errors:
        OSError."""
        self._model.write(os.fspath(path))

    def codes(self, y):
        """y [n] as the model has it: numbers, or places among `classes`. Errors: ValueError for an unknown
        class."""
        if not self.classes:
            y = np.asarray(y, dtype=np.float64)
            _design.refuse_missing(y.reshape(-1, 1), [self.description["schema"]["response"]])
            return y
        place = {name: float(i) for i, name in enumerate(self.classes)}
        texts = [_tables.label_text(value) for value in np.asarray(y).tolist()]
        for text in texts:
            if text not in place:
                raise ValueError(
                    f'likelihood: unknown class "{text}"{_likelihood.near_miss(text, self.classes)}'
                )
        return np.array([place[text] for text in texts])

    def _predict(self, X, level=0.95, interval=False, mean_interval=False, n_jobs=None):
        from ._options import threads_of

        return self._model.predict(self.matrix(X), level, interval, mean_interval, threads_of(n_jobs))

    def _densities(self, X, y, n_jobs):
        from ._options import threads_of

        return self._model.densities(self.matrix(X), self.codes(y), threads_of(n_jobs))

    def __getstate__(self):
        state = {
            name: value for name, value in self.__dict__.items() if name not in ("_model", "description")
        }
        return {**state, "model": self._model.json()}

    def __setstate__(self, state):
        self._model = _likelihood.Model.from_json(state.pop("model"), "pickle")
        self.description = json.loads(self._model.json())
        self.__dict__.update(state)

    def __repr__(self):
        rows = self.description["fit"]["rows"]
        return f"<Mixture: {self.gate} gate, {self.experts} {self.family} experts, {rows} rows>"


def load(path):
    """The mixture of a model file that `gatewright fit --out` or `save` wrote. Errors: OSError,
    ValueError."""
    return Mixture(_likelihood.Model.read(os.fspath(path)))
