"""Python and the command line are one fit: model files equal to the byte, tables to the letter, both ways.

Falls when a default, the order of levels, the seed's way or the reading of a table differs in one of them.
"""

import csv
import json
import subprocess

import numpy as np
import pandas
import pytest

from gatewright import likelihood
from likelihood_help import IRIS, program, run, two_lines


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A file and its frame: numbers, text, weights with zeros, classes."""
    rng = np.random.default_rng(3)
    x, y = two_lines(300, seed=5)
    kind = np.array(["b", "a", "ä", "Z"])[rng.integers(0, 4, 300)]
    frame = pandas.DataFrame(
        {
            "y": y + (kind == "a"),
            "x": x[:, 0],
            "kind": kind,
            "code": rng.integers(1, 4, 300),
            "w": rng.integers(0, 3, 300).astype(float),
            "answer": np.where(
                rng.uniform(size=300) < 1 / (1 + np.exp(-x[:, 0])),
                "yes",
                np.where(rng.uniform(size=300) < 0.5, "no", "10"),
            ),
        }
    )
    frame["hole"] = frame["x"].where(frame.index % 10 != 3)
    path = tmp_path_factory.mktemp("table") / "table.csv"
    frame.to_csv(path, index=False)
    return path, pandas.read_csv(path)


CASES = {
    "plain": ({"formula": "y ~ x", "experts": 2}, ["--response", "y", "--inputs", "x"]),
    "seed": (
        {"formula": "y ~ x", "experts": 2, "seed": 7, "starts": 3},
        ["--response", "y", "--inputs", "x", "--seed", 7, "--starts", 3],
    ),
    "huge seed": (
        {"formula": "y ~ x", "seed": 2**64 - 1, "starts": 2},
        ["--response", "y", "--inputs", "x", "--seed", 2**64 - 1, "--starts", 2],
    ),
    "sizes": (
        {"formula": "y ~ x", "experts": range(1, 4), "starts": 3, "folds": 3, "criterion": "cv"},
        [
            "--response",
            "y",
            "--inputs",
            "x",
            "--experts",
            "1..3",
            "--starts",
            3,
            "--folds",
            3,
            "--criterion",
            "cv",
        ],
    ),
    "text": (
        {"formula": "y ~ x + kind", "starts": 3},
        ["--response", "y", "--inputs", "x,kind", "--starts", 3],
    ),
    "factor": (
        {"formula": "y ~ x + C(code)", "starts": 3},
        ["--response", "y", "--inputs", "x,code", "--factor", "code", "--starts", 3],
    ),
    "sides": (
        {"formula": "y ~ x + code | x", "starts": 3},
        ["--response", "y", "--inputs", "x,code", "--gate-inputs", "x", "--starts", 3],
    ),
    "constant gate": (
        {"formula": "y ~ x | 1", "starts": 3},
        ["--response", "y", "--inputs", "x", "--gate-inputs", "none", "--starts", 3],
    ),
    "weights": (
        {"formula": "y ~ x", "sample_weight": "w", "starts": 3},
        ["--response", "y", "--inputs", "x", "--weights", "w", "--starts", 3],
    ),
    "missing": (
        {"formula": "y ~ hole", "missing": "drop", "starts": 3},
        ["--response", "y", "--inputs", "hole", "--missing", "drop", "--starts", 3],
    ),
    "laplace": (
        {"formula": "y ~ x", "family": "laplace", "starts": 3},
        ["--response", "y", "--inputs", "x", "--family", "laplace", "--starts", 3],
    ),
    "student_t": (
        {"formula": "y ~ x", "family": "student_t", "starts": 3},
        ["--response", "y", "--inputs", "x", "--family", "student_t", "--starts", 3],
    ),
    "top_k": (
        {
            "formula": "y ~ x",
            "gate": "top_k",
            "experts": 3,
            "top_k": 2,
            "select_with_bias": False,
            "starts": 2,
        },
        [
            "--response",
            "y",
            "--inputs",
            "x",
            "--gate",
            "top_k",
            "--experts",
            3,
            "--top-k",
            2,
            "--select-without-bias",
            "--starts",
            2,
        ],
    ),
    "temperature": (
        {"formula": "y ~ x", "gate": "dense_to_sparse", "activation": "sigmoid", "starts": 2},
        [
            "--response",
            "y",
            "--inputs",
            "x",
            "--gate",
            "dense_to_sparse",
            "--activation",
            "sigmoid",
            "--starts",
            2,
        ],
    ),
    "modified": (
        {"formula": "y ~ x", "gate": "modified", "starts": 2},
        ["--response", "y", "--inputs", "x", "--gate", "modified", "--starts", 2],
    ),
    "classes": (
        {"formula": "answer ~ x", "family": "multinomial", "starts": 3},
        ["--response", "answer", "--inputs", "x", "--family", "multinomial", "--starts", 3],
    ),
    "search": (
        {
            "formula": "y ~ x",
            "start": "kmeans",
            "replacements": 3,
            "gate_solver": "mm",
            "iterations": 50,
            "tolerance": 1e-6,
            "narrow_experts": "keep",
            "least_rows": 9.0,
            "least_scale": 1e-3,
            "ridge": 0.1,
            "starts": 2,
        },
        [
            "--response",
            "y",
            "--inputs",
            "x",
            "--start",
            "kmeans",
            "--replacements",
            3,
            "--gate-solver",
            "mm",
            "--iterations",
            50,
            "--tolerance",
            1e-6,
            "--narrow-experts",
            "keep",
            "--least-rows",
            9,
            "--least-scale",
            1e-3,
            "--ridge",
            0.1,
            "--starts",
            2,
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fit_is_the_command_lines_to_the_byte(name, table, tmp_path):
    path, frame = table
    options, flags = CASES[name]
    printed = run("fit", path, *flags, "--quiet", "--out", tmp_path / "theirs.json")
    mixture = likelihood.fit(frame, **options)
    mixture.save(tmp_path / "ours.json")
    assert (tmp_path / "ours.json").read_bytes() == (tmp_path / "theirs.json").read_bytes()
    assert mixture.summary() == printed[: printed.rindex("model: ")]


@pytest.mark.parametrize("name", ["plain", "text", "factor", "sides", "student_t", "classes"])
def test_predictions_are_the_command_lines(name, table, tmp_path):
    path, frame = table
    _options, flags = CASES[name]
    run("fit", path, *flags, "--quiet", "--out", tmp_path / "model.json")
    rows = list(
        csv.DictReader(
            run("predict", tmp_path / "model.json", path, "--level", 0.8, "--explain").splitlines()
        )
    )
    loaded = likelihood.load(tmp_path / "model.json")
    ours = loaded.prediction_table(frame, frame[flags[1]], level=0.8)
    assert ["row", *ours] == list(rows[0])
    for column, values in ours.items():
        theirs = [row[column] for row in rows]
        assert theirs == [
            value if isinstance(value, str) else "" if np.isnan(value) else format(value, ".10g")
            for value in values
        ], column


def test_what_python_saves_the_command_line_predicts(table, tmp_path):
    path, frame = table
    for estimator, response in (
        (likelihood.MixtureOfExpertsRegressor(starts=2), "y"),
        (likelihood.MixtureOfExpertsClassifier(starts=2), "answer"),
    ):
        estimator.fit(frame[["x", "kind"]], frame[response]).save(tmp_path / "model.json")
        rows = list(csv.DictReader(run("predict", tmp_path / "model.json", path).splitlines()))
        first = "mean" if response == "y" else "class"
        ours = estimator.predict(frame[["x", "kind"]])
        assert [row[first] for row in rows] == [
            value if isinstance(value, str) else format(value, ".10g") for value in ours
        ]


def test_an_estimator_of_a_file_is_the_estimator_that_wrote_it(table, tmp_path):
    _, frame = table
    for kind, response in (
        (likelihood.MixtureOfExpertsRegressor, "y"),
        (likelihood.MixtureOfExpertsClassifier, "answer"),
    ):
        first = kind(starts=2, gate="modified").fit(frame[["x", "kind"]], frame[response])
        first.save(tmp_path / "model.json")
        second = kind.from_file(tmp_path / "model.json")
        assert second.gate == "modified"
        assert np.array_equal(first.predict(frame[["x", "kind"]]), second.predict(frame[["x", "kind"]]))
        assert np.array_equal(first.standard_errors_, second.standard_errors_, equal_nan=True)
    with pytest.raises(
        ValueError, match="MixtureOfExpertsRegressor: expected a model of numbers, got classes"
    ):
        likelihood.MixtureOfExpertsRegressor.from_file(tmp_path / "model.json")


def test_estimators_take_the_seed_as_the_command_line_does(tmp_path):
    run(
        "fit",
        IRIS,
        "--response",
        "sepal_width",
        "--inputs",
        "sepal_length",
        "--experts",
        3,
        "--seed",
        11,
        "--starts",
        2,
        "--quiet",
        "--out",
        tmp_path / "a.json",
    )
    iris = pandas.read_csv(IRIS)
    estimator = likelihood.MixtureOfExpertsRegressor(3, random_state=11, starts=2).fit(
        iris[["sepal_length"]], iris["sepal_width"]
    )
    estimator.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_damaged_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(OSError, match=r"none\.json"):
        likelihood.load(tmp_path / "none.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="expected a model file of `gatewright fit`"):
        likelihood.load(tmp_path / "other.json")
    x, y = two_lines(100)
    mixture = likelihood.fit(x, y, starts=2)
    mixture.save(tmp_path / "model.json")
    document = json.loads((tmp_path / "model.json").read_text())
    document["parameters"]["scale"] = [1.0]
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"model\.json: expected 2 values of scale, got 1"):
        likelihood.load(tmp_path / "model.json")
    with pytest.raises(OSError):
        mixture.save(tmp_path / "no" / "folder.json")


def test_the_program_refuses_what_python_refuses(table):
    path, frame = table
    done = subprocess.run(
        [program(), "fit", str(path), "--response", "y", "--inputs", "w,x", "--gate", "softmix"],
        capture_output=True,
        text=True,
    )
    with pytest.raises(ValueError, match=r'unknown value "softmix" for "gate"; did you mean "softmax"\?'):
        likelihood.fit(frame, formula="y ~ x", gate="softmix")
    assert 'did you mean "softmax"?' in done.stderr
