"""docs/python-statistics.md: the example runs and prints what the page shows; the table of options is
complete."""

import contextlib
import io
import re

import pytest

from likelihood_help import ROOT

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("pandas", reason="pandas is not installed")
PAGE = (ROOT / "docs" / "python-statistics.md").read_text(encoding="utf-8")


def block(kind, name):
    return re.search(rf"<!-- {kind}: {name} -->\n```\w*\n(.*?)^```$", PAGE, re.M | re.S)[1]


def test_the_example_prints_what_the_page_shows(monkeypatch):
    monkeypatch.chdir(ROOT)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block("tested", "iris"), "docs/python-statistics.md", "exec"), {})
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [
        line.rstrip() for line in block("output", "iris").splitlines()
    ]


def test_every_option_is_on_the_page():
    from gatewright.likelihood import (
        LassoMixtureRegressor,
        MixtureOfExpertsClassifier,
        MixtureOfExpertsRegressor,
    )

    for kind in (MixtureOfExpertsRegressor, MixtureOfExpertsClassifier, LassoMixtureRegressor):
        for name in kind._get_param_names():
            assert f"`{name}" in PAGE or f"`{name}=" in PAGE or f"{name}`" in PAGE, name
