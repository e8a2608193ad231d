"""Data and the built program for the tests of gatewright.likelihood."""

import os
import pathlib
import subprocess

import numpy as np
import pytest

pytest.importorskip("gatewright._likelihood", reason="the package is not installed: pip install .")

ROOT = pathlib.Path(__file__).resolve().parents[2]
IRIS = ROOT / "examples" / "data" / "iris.csv"


def program():
    """Path of the built `gatewright`; skips where there is none."""
    path = pathlib.Path(os.environ.get("GATEWRIGHT_CLI", ROOT / "build" / "gatewright"))
    if not path.is_file():
        pytest.skip(f"the program is not built: {path}")
    return str(path)


def run(*arguments):
    """What `gatewright arguments…` prints."""
    done = subprocess.run([program(), *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def two_lines(n=400, seed=0, noise=0.3):
    """x [n, 1], y [n]: lines 1 - 2 x and -1 + 3 x, the first likelier where x is large; both say the truth of
    it."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(n, 1))
    first = rng.uniform(size=n) < chance(x[:, 0])
    return x, np.where(first, 1 - 2 * x[:, 0], -1 + 3 * x[:, 0]) + noise * rng.standard_normal(n)


def chance(x):
    return 1 / (1 + np.exp(-2 * x))


def true_mean(x):
    return chance(x) * (1 - 2 * x) + (1 - chance(x)) * (-1 + 3 * x)
