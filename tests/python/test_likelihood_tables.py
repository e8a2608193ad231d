"""Frames, formulas, factors, missing values: what a table says is what a fit reads."""

import numpy as np
import pytest

from gatewright import likelihood
from likelihood_help import two_lines

pandas = pytest.importorskip("pandas")


def frame(n=240):
    x, y = two_lines(n, seed=2)
    rng = np.random.default_rng(4)
    kind = np.array(["b", "a", "c"])[rng.integers(0, 3, n)]
    return pandas.DataFrame(
        {
            "y": y + 2.0 * (kind == "c"),
            "x": x[:, 0],
            "kind": kind,
            "code": rng.integers(1, 4, n),
            "flag": rng.integers(0, 2, n) == 1,
        }
    )


def in_polars(table):
    return pytest.importorskip("polars").DataFrame({name: table[name].tolist() for name in table})


FAST = {"starts": 2, "replacements": 2}


def test_arrays_frames_dicts_and_polars_are_one_table():
    table = frame()
    inputs = table[["x", "kind"]]
    first = likelihood.fit(inputs, table["y"], **FAST)
    assert first.columns == ["x", "kind=b", "kind=c"]
    assert "kind: against a" in first.summary()
    dummies = np.column_stack([table["x"], table["kind"] == "b", table["kind"] == "c"])
    for X in (
        in_polars(inputs),
        dict(inputs),
        inputs.astype({"kind": "category"}),
        inputs.astype({"kind": "string"}),
        dummies,
    ):
        other = likelihood.fit(X, table["y"].to_numpy(), **FAST)
        assert other.parameters == first.parameters
        assert np.array_equal(other.predict(X), first.predict(inputs))


def test_columns_go_by_name_whatever_their_order():
    table = frame()
    m = likelihood.fit(table[["x", "kind"]], table["y"], **FAST)
    assert np.array_equal(m.predict(table[["y", "kind", "x", "code"]]), m.predict(table))
    with pytest.raises(ValueError, match='no column "kind"; did you mean "kin"'):
        m.predict(table.rename(columns={"kind": "kin"}))
    with pytest.raises(ValueError, match="the model has a factor"):
        m.predict(np.zeros((3, 2)))


def test_a_formula_says_who_sees_what():
    table = frame()
    m = likelihood.fit(table, formula="y ~ x + C(code) | x", **FAST)
    assert m.columns == ["x", "code=2", "code=3"]
    assert m.description["model"]["gate_columns"] == [0] and "expert_columns" not in m.description["model"]
    assert m.description["schema"]["response"] == "y"
    same = likelihood.fit(table[["x", "code"]], table["y"], factors="code", gate_inputs=["x"], **FAST)
    assert same.parameters == m.parameters
    constant = likelihood.fit(table, formula="y ~ x | 1", **FAST)
    assert constant.description["model"]["gate_columns"] == []
    assert likelihood.fit(table[["y", "x"]], formula="y ~ .", **FAST).columns == ["x"]
    odd = table.rename(columns={"x": "sepal length"})
    assert likelihood.fit(odd, formula="y ~ `sepal length`", **FAST).columns == ["sepal length"]


@pytest.mark.parametrize(
    "formula, message",
    {
        "y ~ x:code": "expected names joined by +, got 'x:code'",
        "y ~ log(x)": "got 'log(x)'",
        "y": 'expected "response ~ inputs"',
        "y ~ x | x | x": "at most one bar",
        "y ~ xx": 'no input "xx"; did you mean "x"?',
        "yy ~ x": 'no column "yy"; did you mean "y"?',
        "y ~ ": "got ''",
    }.items(),
)
def test_formulas_that_are_none_are_refused(formula, message):
    with pytest.raises(ValueError) as error:
        likelihood.fit(frame(), formula=formula)
    assert message in str(error.value)


def test_formulas_in_estimators():
    pytest.importorskip("sklearn")
    from sklearn.model_selection import cross_val_score

    table = frame()
    m = likelihood.MixtureOfExpertsRegressor(formula="y ~ x + kind | x", starts=2).fit(table)
    same = likelihood.MixtureOfExpertsRegressor(formula="y ~ x + kind | x", starts=2).fit(
        table.drop(columns="y"), table["y"]
    )
    assert np.array_equal(m.predict(table), same.predict(table[["kind", "x"]][["x", "kind"]]))
    assert np.isnan(m.gate_coef_[:, 1:]).all() and not np.isnan(m.coef_).any()
    assert list(m.feature_names_in_) == ["x", "kind"]
    assert cross_val_score(m, table, table["y"], cv=3).mean() > 0.5
    with pytest.raises(ValueError, match="kind"):
        m.predict(table[["x"]])


def test_missing_values_are_refused_with_their_place_or_dropped():
    table = frame()
    for column, hole in (("x", np.nan), ("kind", None)):
        holed = table.copy()
        holed.loc[6, column] = hole
        with pytest.raises(ValueError, match=f'row 7, column "{column}.*": the value is missing'):
            likelihood.fit(holed, formula="y ~ x + kind", **FAST)
        dropped = likelihood.fit(holed, formula="y ~ x + kind", missing="drop", **FAST)
        without = likelihood.fit(table.drop(index=6), formula="y ~ x + kind", **FAST)
        assert dropped.parameters == without.parameters and dropped.dropped == 1
        assert "(1 left out: missing values)" in dropped.summary()
        with pytest.raises(ValueError, match="row 7"):
            dropped.predict(holed)
    table.loc[3, "y"] = np.nan
    with pytest.raises(ValueError, match="row 4: the response is missing"):
        likelihood.fit(table, formula="y ~ x", **FAST)


def test_estimators_drop_rows_of_arrays_too():
    pytest.importorskip("sklearn")
    x, y = two_lines(200)
    holed = x.copy()
    holed[5] = np.nan
    keep = np.arange(200) != 5
    m = likelihood.MixtureOfExpertsRegressor(missing="drop", starts=2).fit(holed, y)
    assert np.array_equal(
        m.predict(x), likelihood.MixtureOfExpertsRegressor(starts=2).fit(x[keep], y[keep]).predict(x)
    )
    with pytest.raises(ValueError, match="NaN"):
        likelihood.MixtureOfExpertsRegressor(starts=2).fit(holed, y)


def test_truth_values_are_levels_and_dates_are_refused():
    table = frame()
    m = likelihood.fit(table, formula="y ~ x + flag", **FAST)
    assert m.columns == ["x", "flag=True"]
    table["day"] = pandas.Timestamp("2026-01-01")
    with pytest.raises(ValueError, match='column "day": expected numbers or text'):
        likelihood.fit(table, formula="y ~ x + day")
    table["mixed"] = pandas.Series([1.5, "?"] * (len(table) // 2), dtype=object)
    with pytest.raises(ValueError, match="got numbers and '\\?'"):
        likelihood.fit(table, formula="y ~ x + mixed")
    table["many"] = [f"id {i}" for i in range(len(table))]
    with pytest.raises(ValueError, match="is it an identifier"):
        likelihood.fit(table, formula="y ~ x + many")
    with pytest.raises(ValueError, match='row 1, column "kind": unknown level "d"'):
        likelihood.fit(table, formula="y ~ kind + x", **FAST).predict({"kind": ["d"], "x": [1.0]})


def test_lazy_frames_and_names_that_are_numbers():
    table = frame()
    with pytest.raises(ValueError, match="collect"):
        likelihood.fit(in_polars(table).lazy(), formula="y ~ x")
    with pytest.raises(ValueError, match="column names that are text, got 0"):
        likelihood.fit(pandas.DataFrame(np.zeros((9, 2))), np.arange(9.0))


def test_responses_that_do_not_fit():
    x, y = two_lines(50)
    for target, message in (
        (None, "requires y"),
        (y[:40], "as many responses"),
        (y.reshape(-1, 1), "one dimension"),
        (np.array(["a"] * 50), "expected numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            likelihood.fit(x, target)
    with pytest.raises(ValueError, match=r'unknown option "expert"; did you mean "experts"\?'):
        likelihood.fit(x, y, expert=3)
    with pytest.raises(ValueError, match="both"):
        likelihood.fit(frame(), formula="y ~ x | 1", gate_inputs=["x"])
