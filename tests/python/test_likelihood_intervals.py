"""Intervals hold what they promise on data whose truth is known."""

import numpy as np
import pytest

from gatewright import likelihood
from likelihood_help import true_mean, two_lines


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_cover_new_responses_and_true_means(level):
    """200 samples of 200 rows, 10 new rows each: within 3 standard deviations of samples of the level."""
    samples, inside, mean_inside = 60, [], []
    for seed in range(samples):
        x, y = two_lines(200, seed=seed)
        m = likelihood.fit(x, y, starts=3, replacements=2, seed=seed)
        new, response = two_lines(10, seed=10000 + seed)
        low, high = m.predict_interval(new, level).T
        inside.append(np.mean((low <= response) & (response <= high)))
        low, high = m.predict_interval(new, level, of="mean").T
        mean_inside.append(np.mean((low <= true_mean(new[:, 0])) & (true_mean(new[:, 0]) <= high)))
    for shares in (inside, mean_inside):
        assert abs(np.mean(shares) - level) < 3.5 * np.std(shares) / np.sqrt(samples)


def test_one_expert_is_the_textbooks_interval():
    stats = pytest.importorskip("scipy.stats")
    x, y = two_lines(30)
    m = likelihood.fit(x, y, experts=1)
    design = np.column_stack([np.ones(30), x])
    inverse = np.linalg.inv(design.T @ design)
    coefficient = inverse @ design.T @ y
    deviation = np.sqrt(((y - design @ coefficient) ** 2).sum() / 28)
    at = np.array([1.0, 1.5])
    half = stats.t.ppf(0.95, 28) * deviation * np.sqrt([1 + at @ inverse @ at, at @ inverse @ at])
    for of, width in zip(("response", "mean"), half, strict=False):
        assert m.predict_interval([[1.5]], 0.9, of)[0] == pytest.approx(
            [at @ coefficient - width, at @ coefficient + width], rel=1e-6
        )


def test_an_interval_knows_both_humps():
    """At x = 1.2 lie two lines two and four apart: the interval is no mean and so many deviations."""
    x, y = two_lines(2000)
    m = likelihood.fit(x, y, starts=3)
    low, high = m.predict_interval([[0.0]], 0.95)[0]
    assert low == pytest.approx(-1 - 0.3 * 1.645, abs=0.1) and high == pytest.approx(1 + 0.3 * 1.645, abs=0.1)
