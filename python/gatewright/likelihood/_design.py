"""From a table to the numbers of a regression, by the rules of `gatewright fit`: a column of text is a factor
with one column of 0 and 1 per level but the first."""

import numpy as np

from .._likelihood import near_miss
from . import _tables


def array_schema(columns, response="y"):
    """The schema of an array: inputs x0, x1, …"""
    return {"response": response, "terms": [{"name": f"x{j}"} for j in range(columns)]}


def frame_schema(X, inputs, factors, response, used):
    """Terms of the inputs of a frame, with levels from the rows `used` (a mask).

    Errors: ValueError for an unknown input or factor (with the near miss), for a factor of one level or more
    than 100.
    """
    names = _tables.column_names(X)
    for kind, wanted in (("input", inputs), ("factor", factors)):
        for name in wanted:
            if name not in names:
                raise ValueError(f'likelihood: no {kind} "{name}"{near_miss(name, names)}')
    terms = [_term(name, _tables.values_of(X, name)[used], name in factors) for name in inputs]
    return {"response": response, "terms": terms}


def matrix(X, schema):
    """x [n, columns] of a frame or an array, float64, rows one after another; NaN where a value is missing.

    Errors: ValueError for a missing column (with the near miss), an unknown level, text among numbers.
    """
    terms = schema["terms"]
    if not _tables.is_frame(X):
        return _array_matrix(np.asarray(X), terms)
    names = _tables.column_names(X)
    parts = []
    for term in terms:
        if term["name"] not in names:
            raise ValueError(f'likelihood: no column "{term["name"]}"{near_miss(term["name"], names)}')
        parts.append(_columns(term, _tables.values_of(X, term["name"])))
    rows = len(parts[0]) if parts else _rows(X, names)
    return np.ascontiguousarray(np.column_stack(parts)) if parts else np.empty((rows, 0))


def refuse_missing(x, names, what="row"):
    """Errors: ValueError naming row and column of the first number that is not finite."""
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        row, column = bad[0]
        word = "missing" if np.isnan(x[row, column]) else "not finite"
        raise ValueError(
            f'likelihood: {what} {row + 1}, column "{names[column]}": the value is {word}; fill it in, or '
            "leave such "
            'rows out (missing="drop" in a fit)'
        )


def columns_of(schema):
    """Names of the columns of x: "age", "sex=male"."""
    names = []
    for term in schema["terms"]:
        levels = term.get("levels")
        names += [f"{term['name']}={level}" for level in levels[1:]] if levels else [term["name"]]
    return names


def _rows(X, names):
    return len(X[names[0]]) if names else 0


def _array_matrix(x, terms):
    if x.ndim != 2 or x.shape[1] != len(terms):
        raise ValueError(
            f"likelihood: expected x of {len(terms)} columns ({', '.join(term['name'] for term in terms[:6])}"
            f"{', …' if len(terms) > 6 else ''}), got the shape {x.shape}"
        )
    if any(term.get("levels") for term in terms):
        factor = next(term for term in terms if term.get("levels"))
        raise ValueError(
            f'likelihood: the model has a factor, "{factor["name"]}", expected a frame with names, got an '
            "array"
        )
    return np.ascontiguousarray(x, dtype=np.float64)


def _term(name, values, factor):
    if values.dtype == object or factor:
        known = [_level(value) for value in values if not _tables._is_missing(value)]
        levels = _tables.sorted_levels(known)
        if not 2 <= len(levels) <= _tables.MOST_LEVELS:
            raise ValueError(
                f'likelihood: column "{name}": expected a factor of 2 to {_tables.MOST_LEVELS} levels, got '
                f"{len(levels)}; "
                f"{'is it an identifier? ' if levels[1:] else ''}leave it out of the inputs"
            )
        return {"name": name, "levels": levels, "reference": levels[0]}
    if len(values) and np.isnan(values).all():
        raise ValueError(f'likelihood: column "{name}": every value is missing; leave it out of the inputs')
    return {"name": name}


def _level(value):
    return value if isinstance(value, str) else _tables.number_text(value)


def _columns(term, values):
    levels = term.get("levels")
    if not levels:
        if values.dtype == object:
            text = next((value for value in values if value is not None), "nothing")
            raise ValueError(f'likelihood: column "{term["name"]}": expected numbers, got "{text}"')
        return values[:, None]
    place = {level: i for i, level in enumerate(levels)}
    out = np.zeros((len(values), len(levels) - 1))
    for row, value in enumerate(values):
        if _tables._is_missing(value):
            out[row] = np.nan
            continue
        level = place.get(_level(value))
        if level is None:
            raise ValueError(
                f'likelihood: row {row + 1}, column "{term["name"]}": unknown level "{_level(value)}"'
                f"{near_miss(_level(value), levels)}"
            )
        if level:
            out[row, level - 1] = 1
    return out
