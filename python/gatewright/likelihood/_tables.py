"""Columns with names from what people hold: arrays, pandas and polars frames, dicts of columns."""

import numbers

import numpy as np

MOST_LEVELS = 100  # of a factor; more is an identifier


def is_frame(X):
    """Whether X is a table with named columns."""
    return isinstance(X, dict) or (_library(X) in ("pandas", "polars") and hasattr(X, "columns"))


def has_names(X):
    """Whether X is a frame with names that are text; one whose names are all numbers is an array to
    scikit-learn."""
    return is_frame(X) and not isinstance(X, dict) and any(isinstance(name, str) for name in X.columns)


def column_names(X):
    """Names of a frame's columns, as text."""
    if _library(X) == "polars" and not hasattr(X, "to_numpy"):
        raise ValueError(
            "likelihood: expected a table with rows, got a lazy polars frame; call .collect() first"
        )
    names = list(X) if isinstance(X, dict) else list(X.columns)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(
                f"likelihood: expected column names that are text, got {name!r}; rename the columns "
                "(X.columns = X.columns.astype(str)), or give an array"
            )
    return names


def select(X, names):
    """The frame with these columns alone."""
    if isinstance(X, dict):
        return {name: X[name] for name in names}
    return X.select(names) if _library(X) == "polars" else X[names]


def values_of(X, name):
    """One column as float64 [n] with NaN where a value is missing, or as objects: text, and None where it is
    missing."""
    column = X[name]
    if _library(column) == "polars":
        return _polars_values(column, name)
    if _library(column) == "pandas":
        return _pandas_values(column, name)
    return _array_values(np.asarray(column), name)


def number_text(value):
    """A number as the command line names the level it stands for: 1, 1.0 and 1e0 are one level."""
    text = repr(float(value) if float(value) != 0 else 0.0)
    return text[:-2] if text.endswith(".0") else text


def label_text(value):
    """A class label or a level as a model file names it."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    return number_text(value) if isinstance(value, numbers.Real) else str(value)


def sorted_levels(texts):
    """Distinct levels in the order of model files: that of their UTF-8 bytes."""
    return sorted(set(texts), key=lambda text: text.encode())


def _library(X):
    return type(X).__module__.split(".")[0]


def _polars_values(column, name):
    import polars

    if column.dtype.is_numeric():
        return column.cast(polars.Float64).to_numpy().astype(np.float64)
    if column.dtype == polars.Boolean:
        return _texts(column.to_list(), {True: "true", False: "false"})  # as its CSV has them
    if column.dtype in (polars.String, polars.Categorical, polars.Enum):
        return _texts(column.cast(polars.String).to_list(), {})
    raise _no_numbers(name, column.dtype)


def _pandas_values(column, name):
    kind = getattr(column.dtype, "kind", "O")
    if kind in "iuf":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind in "mMc":
        raise _no_numbers(name, column.dtype)
    missing = column.isna().to_numpy()
    if kind == "b" and not missing.any():
        return _texts(column.to_numpy(dtype=bool).tolist(), {True: "True", False: "False"})
    return _object_values(
        [None if gone else value for gone, value in zip(missing, column.tolist(), strict=False)], name
    )


def _array_values(column, name):
    if column.ndim != 1:
        raise ValueError(f'likelihood: expected columns of one dimension, got {column.ndim} in "{name}"')
    if column.dtype.kind in "iufb":
        return column.astype(np.float64)
    if column.dtype.kind in "mMcV":
        raise _no_numbers(name, column.dtype)
    return _object_values(column.tolist(), name)


def _object_values(values, name):
    """Numbers if all are, text if none is."""
    values = [None if _is_missing(value) else value for value in values]
    known = [value for value in values if value is not None]
    real = [isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_)) for value in known]
    if known and all(real):
        return np.array([np.nan if value is None else float(value) for value in values])
    if any(real):
        text = next(value for value, number in zip(known, real, strict=False) if not number)
        raise ValueError(
            f'likelihood: column "{name}": expected numbers or text, got numbers and {text!r}; mend the '
            "value, "
            "or name the column among the factors"
        )
    return _texts(values, {True: "True", False: "False"})


def _texts(values, words):
    column = np.empty(len(values), dtype=object)
    column[:] = [
        None if value is None else words[value] if isinstance(value, (bool, np.bool_)) else str(value)
        for value in values
    ]
    return column


def _is_missing(value):
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and value != value)
    )


def _no_numbers(name, dtype):
    return ValueError(
        f'likelihood: column "{name}": expected numbers or text, got {dtype}; make it a number first, or '
        "leave it "
        "out of the inputs"
    )
