"""The Lasso estimator: what it selects, what it predicts, what it writes."""

import csv

import numpy as np
import pytest

from likelihood_help import run

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
from gatewright import likelihood
from gatewright.likelihood import LassoMixtureRegressor


def many_columns(n=200, p=60, seed=0):
    """Column 0 decides who speaks, columns 1 and 2 what is said."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p))
    first = rng.uniform(size=n) < 1 / (1 + np.exp(-6 * x[:, 0]))
    return x, np.where(
        first, 1 + 3 * x[:, 1] - 2 * x[:, 2], -1 - 3 * x[:, 1] + 2 * x[:, 2]
    ) + 0.5 * rng.standard_normal(n)


def truth(x, y):
    """R² of the mean that made y."""
    chance = 1 / (1 + np.exp(-6 * x[:, 0]))
    line = 1 + 3 * x[:, 1] - 2 * x[:, 2]
    return 1 - ((y - (2 * chance - 1) * line) ** 2).sum() / ((y - y.mean()) ** 2).sum()


@pytest.fixture(scope="module")
def fitted():
    x, y = many_columns()
    return x, y, LassoMixtureRegressor(starts=3, penalties=12).fit(x, y)


def test_it_finds_the_columns_that_matter(fitted):
    _x, _y, m = fitted
    assert {"x0", "x1", "x2"} <= set(m.selected_) and len(m.selected_) < 12
    assert m.coef_.shape == m.gate_coef_.shape == (2, 60)
    assert set(np.sign(m.coef_[:, 1])) == {-1, 1}
    new, response = many_columns(seed=1)
    assert m.score(new, response) > 0.85 * truth(new, response)
    mean = np.sum(m.gate_probabilities(new) * (new @ m.coef_.T + m.intercept_), axis=1)
    assert np.allclose(m.predict(new), mean)
    score = new @ m.gate_coef_.T + m.gate_intercept_
    assert np.allclose(m.gate_probabilities(new), np.exp(score) / np.exp(score).sum(axis=1, keepdims=True))


def test_the_path_and_the_criteria_agree(fitted):
    x, y, m = fitted
    assert [row["penalty"] for row in m.path_] == sorted((row["penalty"] for row in m.path_), reverse=True)
    assert m.bic() == pytest.approx(min(row["bic"] for row in m.path_))
    assert m.path_[0]["expert_slopes"] == 0
    assert m.log_density(x, y).sum() == pytest.approx(m.log_likelihood_)
    count = np.count_nonzero(m.coef_) + np.count_nonzero(m.gate_coef_) + 5
    assert m.bic() == pytest.approx(-2 * m.log_likelihood_ + count * np.log(200))
    assert m.aic() == pytest.approx(-2 * m.log_likelihood_ + count * 2)


def test_a_penalty_of_ones_own(fitted):
    x, y, _ = fitted
    heavy = LassoMixtureRegressor(penalty=100.0, starts=1).fit(x, y)
    assert heavy.selected_ == [] and heavy.penalty_ == 100
    assert np.ptp(heavy.predict(x)) == 0
    light = LassoMixtureRegressor(penalty=0.05, starts=2, penalties=6).fit(x, y)
    assert light.penalty_ == pytest.approx(0.05) and {"x0", "x1", "x2"} <= set(light.selected_)
    assert all(row["kkt_gap"] <= 1.1e-3 * row["penalty"] for row in light.path_ if row["converged"])


def test_its_model_file_is_of_the_columns_it_uses(fitted, tmp_path):
    x, _y, m = fitted
    m.save(tmp_path / "lasso.json")
    loaded = likelihood.load(tmp_path / "lasso.json")
    assert loaded.columns == m.selected_
    used = [int(name[1:]) for name in m.selected_]
    assert np.array_equal(loaded.predict(x[:, used]), m.predict(x))
    assert np.array_equal(loaded.predict_interval(x[:5][:, used]), m.predict_interval(x[:5]))
    assert all(row["error"] is None for row in loaded.coefficients())
    with open(tmp_path / "rows.csv", "w") as out:
        writer = csv.writer(out)
        writer.writerow([f"x{j}" for j in range(60)])
        writer.writerows([[repr(value) for value in row] for row in x[:20].tolist()])
    rows = list(csv.DictReader(run("predict", tmp_path / "lasso.json", tmp_path / "rows.csv").splitlines()))
    assert [row["mean"] for row in rows] == [format(value, ".10g") for value in m.predict(x[:20])]
    assert {row["mean_error"] for row in rows} == {""}  # what is shrunk has no error


def test_factors_come_whole_and_weights_and_bars_are_refused():
    pandas = pytest.importorskip("pandas")
    x, y = many_columns(p=5)
    frame = pandas.DataFrame(x, columns=list("abcde"))
    frame["kind"] = np.array(["u", "v", "w"])[np.arange(200) % 3]
    frame["y"] = y + 3.0 * (frame["kind"] == "w")
    m = LassoMixtureRegressor(starts=2, penalties=8, formula="y ~ .").fit(frame)
    assert "kind=w" in m.selected_ and "kind=v" in [*m.mixture_.columns]
    assert m.score(frame, frame["y"]) > 0.85 * truth(x, y)
    with pytest.raises(TypeError):
        m.fit(frame, sample_weight=np.ones(200))
    with pytest.raises(ValueError, match="without a bar"):
        LassoMixtureRegressor(formula="y ~ a | b").fit(frame)
    with pytest.raises(ValueError, match=r'unknown option "penality"; did you mean "penalty"\?'):
        LassoMixtureRegressor(penality=1)
    with pytest.raises(ValueError, match='expected "ratio"'):
        LassoMixtureRegressor(ratio=2.0).fit(x, y)
