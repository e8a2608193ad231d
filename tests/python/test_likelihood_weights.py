"""A weight counts rows: twice the weight is the row twice, no weight is no row."""

import numpy as np
import pytest

from gatewright import likelihood
from likelihood_help import two_lines


@pytest.mark.parametrize("family", ["gaussian", "laplace", "student_t", "multinomial"])
def test_a_weight_of_two_is_the_row_twice(family):
    x, y = two_lines(400, seed=8)
    if family == "multinomial":
        y = np.where(y > 1, "high", np.where(y < -1, "low", "middle"))
    weight = np.random.default_rng(1).integers(0, 4, 400)
    weighted = likelihood.fit(x, y, sample_weight=weight, family=family, tolerance=1e-13, starts=12)
    repeated = likelihood.fit(
        x.repeat(weight, axis=0), y.repeat(weight), family=family, tolerance=1e-13, starts=12
    )
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-8)
    assert weighted.bic() == pytest.approx(repeated.bic(), rel=1e-8)
    close = (
        {"rtol": 1e-3, "atol": 1e-3} if family == "laplace" else {"rtol": 1e-4, "atol": 1e-4}
    )  # a kinked likelihood is flat in steps
    for name in ("error", "robust_error", "estimate"):
        ours, theirs = (
            [row[name] for row in m.coefficients() if row["part"] != "gates"] for m in (weighted, repeated)
        )
        assert np.allclose(np.array(ours, float), np.array(theirs, float), equal_nan=True, **close), name
    assert np.allclose(weighted.gate_probabilities(x), repeated.gate_probabilities(x), **close)


def test_rows_without_weight_change_nothing():
    x, y = two_lines(300)
    far = np.vstack([x, [[1e6]]]), np.r_[y, -1e9]
    plain = likelihood.fit(x, y, starts=3)
    weighted = likelihood.fit(*far, sample_weight=np.r_[np.ones(300), 0], starts=3)
    assert np.allclose(weighted.predict(x), plain.predict(x), rtol=1e-9)
    assert "note: 1 rows of weight 0 are left out" in weighted.summary()


def test_the_unit_of_weights_that_are_no_counts_changes_no_estimate():
    x, y = two_lines(300)
    weight = np.random.default_rng(2).uniform(0.5, 1.5, 300)
    fits = [likelihood.fit(x, y, sample_weight=weight * unit, starts=3) for unit in (1.0, 1000.0)]
    assert np.allclose(fits[0].predict(x), fits[1].predict(x), rtol=1e-6)
    assert "the weights add up to" in fits[1].summary() and "the weights add up to" not in fits[0].summary()


def test_one_expert_is_weighted_least_squares():
    x, y = two_lines(200)
    weight = np.random.default_rng(3).integers(1, 5, 200)
    m = likelihood.fit(x, y, sample_weight=weight, experts=1)
    design = np.column_stack([np.ones(200), x])
    exact = np.linalg.solve(design.T * weight @ design, design.T * weight @ y)
    assert np.allclose([m.parameters["intercept"][0], m.parameters["slope"][0]], exact, rtol=1e-10)


def test_weights_that_do_not_fit():
    x, y = two_lines(50)
    for weight, message in (
        (np.ones(40), "40 weights"),
        (np.full(50, np.nan), "weight of 0 or more, got nan"),
        ("w", "no column of weights"),
        (np.zeros(50), "nothing is left"),
    ):
        with pytest.raises(ValueError, match=message):
            likelihood.fit(x, y, sample_weight=weight, starts=1)
