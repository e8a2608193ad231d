"""`fit`: tables to mixtures, with NumPy alone."""

import json

import numpy as np

from .. import _likelihood
from . import _design, _options, _tables
from ._formula import Formula
from ._mixture import Mixture

_OWN = ("formula", "factors", "missing", "sample_weight", "seed", "n_jobs")


def options():
    """The options of `fit`: dicts with name, type, range, default, help."""
    return list(_options.FIT.values())


class Rows:
    """What a fit reads of a table.

    schema: as model files have it, without classes; x [n, columns], weight [n] or None; y as given, [n];
    kept: mask of the given rows; dropped, weightless: how many are not, and why; experts, gate: names that
    each side sees, None for all.
    """

    def __init__(self, X, y=None, weight=None, formula=None, factors=(), missing="refuse"):
        if missing not in ("refuse", "drop"):
            raise ValueError(
                f'fit: unknown value "{missing}" for '
                f'"missing"{_likelihood.near_miss(str(missing), ["refuse", "drop"])}'
            )
        factors = [factors] if isinstance(factors, str) else list(factors or ())
        formula = Formula(formula) if formula is not None else None
        self.by_formula = formula is not None
        weight, weight_name = _weights(X, weight)
        y, response = _response(X, y, formula)
        rows = len(y)
        used = np.ones(rows, dtype=bool) if weight is None else weight != 0
        if _tables.is_frame(X):
            names = [name for name in _tables.column_names(X) if name != weight_name]
            inputs = formula.inputs(names) if formula else names
            self.schema = _design.frame_schema(
                X, inputs, factors + (formula.factors if formula else []), response, used
            )
        else:
            _refuse_names(formula, factors)
            self.schema = _design.array_schema(np.asarray(X).shape[1] if np.ndim(X) == 2 else 0, response)
        self.experts, self.gate = _sides(formula, [term["name"] for term in self.schema["terms"]])
        x = _design.matrix(X, self.schema)
        if len(x) != rows or (weight is not None and len(weight) != rows):
            raise ValueError(
                f"fit: expected as many responses and weights as rows ({len(x)}), got {rows} responses"
                f"{'' if weight is None else f' and {len(weight)} weights'}"
            )
        self._keep(x, y, weight, used, missing)

    def _keep(self, x, y, weight, used, missing):
        gone = (
            np.array([_tables._is_missing(value) for value in y.tolist()])
            if y.dtype == object
            else _not_finite(y)
        )
        if missing == "drop":
            used = used & ~np.isnan(x).any(axis=1) & ~gone
        if not used.any():
            raise ValueError("fit: every row has a missing value or weight 0; nothing is left")
        if gone[used].any():
            raise ValueError(
                f"fit: row {np.argmax(gone & used) + 1}: the response is missing or not finite; fill it in, "
                "or leave such rows "
                'out (missing="drop")'
            )
        all_used = used.all()
        self.weightless = 0 if weight is None else int((weight == 0).sum())
        self.dropped = int((~used).sum()) - self.weightless
        self.kept = used
        self.x = x if all_used else np.ascontiguousarray(x[used])
        self.y = y if all_used else y[used]
        self.weight = weight if all_used or weight is None else weight[used]
        _design.refuse_missing(self.x, _design.columns_of(self.schema))


def classes_of(y):
    """Levels of a response of classes and each row's place among them."""
    texts = [_tables.label_text(value) for value in y.tolist()]
    levels = _tables.sorted_levels(texts)
    if len(levels) < 2:
        raise ValueError(
            f"fit: expected at least 2 classes, got one class ({levels[0] if levels else 'none'}): there is "
            "nothing to explain"
        )
    place = {level: float(i) for i, level in enumerate(levels)}
    return levels, np.array([place[text] for text in texts])


def fit_rows(rows, options, seed, threads):
    """The mixture of `rows` with options as the library has them."""
    settings = dict(options)
    if "experts" in settings:
        settings["experts"] = _options.experts_text(settings["experts"])
    for name, names in (("expert_inputs", rows.experts), ("gate_inputs", rows.gate)):
        if rows.by_formula and settings.get(name) is not None:
            raise ValueError(f'fit: expected the inputs in the formula or in "{name}", got both')
        settings[name] = names if rows.by_formula else settings.get(name)
    schema = dict(rows.schema)
    if settings.get("family") == "multinomial":
        schema["classes"], y = classes_of(rows.y)
    else:
        y = _numbers(rows.y)
    model = _likelihood.fit(
        rows.x, y, rows.weight, json.dumps(schema), _options.as_json(settings), seed, rows.weightless, threads
    )
    return Mixture(model, dropped=rows.dropped)


def fit(
    X,
    y=None,
    *,
    formula=None,
    factors=(),
    missing="refuse",
    sample_weight=None,
    seed=0,
    n_jobs=None,
    **options,
):
    """Fits mixtures of experts to a table by maximum likelihood; the numbers are those of `gatewright fit`,
    bit for bit.

    X: array [n, inputs], pandas or polars frame, dict of columns; text is a factor against its first level.
    y: [n], numbers; labels for family="multinomial"; not needed where a formula names a column of X.
    formula: "y ~ a + b | c": experts see a and b, the gate sees c; `.` all columns, 1 none, C(a) a factor.
    sample_weight: [n], or a column's name. A weight of 2 is the row twice. seed: of the starts and folds.
    options: see `gatewright.likelihood.options()`: experts, family, gate, criterion, starts, …
    Errors: ValueError naming the row, column or option, with the near miss. KeyboardInterrupt ends the fit
    between
        iterations; nothing is kept.
    Cost: iterations · n · experts · columns², times starts; n = 1e5, d = 4, four experts: seconds.
    """
    _options.refuse_unknown("fit", options, {*_options.FIT, *_OWN})
    rows = Rows(X, y, sample_weight, formula, factors, missing)
    return fit_rows(rows, options, _options.seed_of(seed), _options.threads_of(n_jobs))


def _weights(X, weight):
    if isinstance(weight, str):
        if not _tables.is_frame(X) or weight not in _tables.column_names(X):
            known = _tables.column_names(X) if _tables.is_frame(X) else []
            raise ValueError(f'fit: no column of weights "{weight}"{_likelihood.near_miss(weight, known)}')
        return _numbers(_tables.values_of(X, weight)), weight
    return (None if weight is None else _numbers(np.asarray(weight))), None


def _response(X, y, formula):
    name = formula.response if formula else None
    if y is None:
        if name is None:
            raise ValueError(
                "fit: expected a response, got None: requires y to be passed, but the target y is None; or "
                "name it in a formula"
            )
        if not _tables.is_frame(X) or name not in _tables.column_names(X):
            known = _tables.column_names(X) if _tables.is_frame(X) else []
            raise ValueError(f'fit: no column "{name}"{_likelihood.near_miss(name, known)}')
        return _tables.values_of(X, name), name
    named = getattr(y, "name", None)
    y = np.asarray(y)
    if y.ndim != 1:
        raise ValueError(f"fit: expected a response of one dimension, got the shape {y.shape}")
    return y, name or (named if isinstance(named, str) and named else "y")


def _refuse_names(formula, factors):
    if formula is not None and not (
        formula.response is None and formula.expert_inputs is None and formula.gate_inputs is None
    ):
        raise ValueError("fit: expected a frame with column names for a formula, got an array")
    if factors:
        raise ValueError(f"fit: expected a frame with column names for factors, got an array and {factors}")


def _sides(formula, inputs):
    """What each side sees, None for all of `inputs`."""
    if formula is None or formula.one_sided:
        return None, None
    return tuple(
        None if side is None or set(side) == set(inputs) else side
        for side in (formula.expert_inputs, formula.gate_inputs)
    )


def _not_finite(y):
    return ~np.isfinite(y) if y.dtype.kind == "f" else np.zeros(len(y), dtype=bool)


def _numbers(values):
    if values.dtype.kind not in "iufb":
        try:
            return values.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f'fit: expected numbers, got {values[0]!r}; explain classes with family="multinomial"'
            ) from None
    return np.ascontiguousarray(values, dtype=np.float64)
