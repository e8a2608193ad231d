"""Recipes through the program: results, callbacks, errors in its words, interruption without loss."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import tomllib
import warnings

import pytest

import gatewright
import program_help
from gatewright import _following, _program, _toml, recipes

IRIS = {"arm": "mixture", "seed": 3, "progress": False}


@pytest.fixture
def program(monkeypatch):
    monkeypatch.setenv("GATEWRIGHT_PROGRAM", program_help.built())


@pytest.fixture
def imitate(monkeypatch, tmp_path):
    def make(body, version=None):
        path = program_help.stand_in(tmp_path, body, version or gatewright.__version__)
        monkeypatch.setenv("GATEWRIGHT_PROGRAM", path)
        return path

    return make


class Notes(recipes.Callback):
    def __init__(self):
        self.calls = []

    def on_start(self, label):
        self.calls.append(("start", label))

    def on_progress(self, *given):
        self.calls.append(("progress", *given))

    def on_end(self, label):
        self.calls.append(("end", label))


def test_a_training_gives_metrics_records_and_progress(program, tmp_path):
    notes, steps = Notes(), []
    result = gatewright.train(
        "iris",
        out=tmp_path / "run",
        overrides={"epochs": 12},
        callbacks=[notes, lambda step, *rest: steps.append(step)],
        **IRIS,
    )
    assert result.metrics["accuracy"] > 0.5 and result.directory == tmp_path / "run"
    records = result.runs[0].records()
    trained = [r["step"] for r in records if r["kind"] == "train"]
    assert trained == list(range(1, 37))  # 12 epochs of 3 batches
    assert notes.calls[0] == ("start", "mixture seed 3")
    assert ("end", "mixture seed 3") in notes.calls and notes.calls[-1] == ("end", "mixture seed 3 evaluation")
    progress = [c for c in notes.calls[: notes.calls.index(("end", "mixture seed 3"))] if c[0] == "progress"]
    assert progress[-1][1:3] == (36, 36) and progress[0][3:5] == (None, None)
    last = [r for r in records if r["kind"] == "train"][-1]
    assert progress[-1][5] == {k: v for k, v in last.items() if k.endswith("loss")}
    assert steps[: len(progress)] == sorted(steps[: len(progress)])
    assert result.arms["mixture"]["seed"] == 3


def test_frames(program, tmp_path):
    pytest.importorskip("pandas")
    result = gatewright.train("iris", out=tmp_path / "run", overrides=["epochs=2"], **IRIS)
    assert list(result.runs[0].frame().index) == list(range(1, 7))
    assert result.frame().loc[("mixture", 3), "accuracy"] == result.metrics["accuracy"]


def test_a_mark_that_is_not_met_is_a_result(program, tmp_path):
    result = gatewright.check(
        "iris", out=tmp_path / "check", seeds=[0, 1], overrides={"epochs": 1}, progress=False
    )
    assert not result.holds
    (mark,) = result.marks
    assert mark["meets"] is False and "90" in mark["mark"]
    assert [(r.arm, r.seed) for r in result.runs] == [(a, s) for a in result.arms for s in (0, 1)]
    means = [r.metrics["accuracy"] for r in result.runs if r.arm == "mixture"]
    assert result.arms["mixture"]["metrics"]["accuracy"]["mean"] == pytest.approx(sum(means) / 2)
    assert result.metrics["mixture"]["accuracy"]["max"] == max(means)
    assert result.run("dense", 1).seed == 1
    with pytest.raises(KeyError, match="dense"):
        result.run("dens")
    page = gatewright.report(result, out=tmp_path / "page.html")
    assert "four lengths tell the species" in page.read_text("utf-8")
    assert gatewright.report(result) == result.directory / "report.html"


def test_a_recipe_as_a_dict(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tomllib.loads((program_help.ROOT / "recipes" / "iris.toml").read_text("utf-8"))
    source["name"] = "own"
    source["sizes"]["tiny"]["config"]["epochs"] = 2
    own = gatewright.check(source, progress=False)
    assert own.directory == pathlib.Path("runs/check-own-tiny")
    assert tomllib.loads(pathlib.Path("runs/own.toml").read_text("utf-8")) == source
    named = gatewright.train("iris", size="tiny", out="named", overrides={"epochs": 2}, **{**IRIS, "seed": 0})
    assert own.run("mixture").metrics["cross_entropy"] == named.metrics["cross_entropy"]
    with pytest.raises(ValueError, match='expected a "name"'):
        gatewright.train({"arms": {}}, progress=False)


def test_attack(program, tmp_path):
    pytest.importorskip("numpy")
    small = {"epochs": 1, "train_per_class": 20, "test_per_class": 4, "evaluation.images": 20}
    try:
        run = gatewright.train(
            "advmoe", arm="at_small_dense", out=tmp_path / "run", overrides=small, progress=False
        )
    except ValueError as refused:
        if "expected" in str(refused) and "fashion" in str(refused).lower():
            pytest.skip(str(refused))
        raise
    found = gatewright.attack(run, ["pgd"], epsilon="2/255", images=10, progress=False)
    assert 0 <= found["robust_accuracy"]["pgd"] <= found["clean_accuracy"] <= 1


def test_refusals_are_value_errors_in_the_programs_words(program, tmp_path):
    with pytest.raises(ValueError, match=r'^recipe: unknown recipe "irsi"; did you mean "iris"\?'):
        gatewright.train("irsi", progress=False)
    with pytest.raises(ValueError, match="unknown option"):
        gatewright.train("iris", out=tmp_path / "run", overrides={"epoks": 3}, **IRIS)
    with pytest.raises(ValueError, match="expected one --arm with --out"):
        gatewright.train("iris", out=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="both or neither"):
        gatewright.train(progress=False)
    with pytest.raises(ValueError, match="report: expected a run or check directory"):
        gatewright.report(tmp_path)


def test_other_ends_are_runtime_errors(imitate):
    imitate('echo "a note" >&2; echo "gatewright: a defect, please report" >&2; exit 1')
    with pytest.raises(RuntimeError, match=r"^a defect, please report \(exit code 1\)$"):
        gatewright.train("x", progress=False)
    with pytest.raises(RuntimeError, match="a defect"):
        gatewright.check("x", progress=False)
    imitate("kill -9 $$")
    with pytest.raises(RuntimeError, match="ended by signal 9"):
        gatewright.train("x", progress=False)


def test_without_a_program_one_sentence_says_the_remedy(monkeypatch, tmp_path):
    monkeypatch.delenv("GATEWRIGHT_PROGRAM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_program, "HERE", tmp_path)
    with pytest.raises(FileNotFoundError, match="make build && make install") as error:
        gatewright.train("iris")
    assert "GATEWRIGHT_PROGRAM" in str(error.value) and "\n" not in str(error.value)
    monkeypatch.setenv("GATEWRIGHT_PROGRAM", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="which is none"):
        gatewright.train("iris")


def test_where_the_program_is_looked_for(monkeypatch, tmp_path):
    folders = [tmp_path / name for name in ("path", "package/bin", "named")]
    for folder in folders:
        folder.mkdir(parents=True)
        program_help.stand_in(folder, "exit 0", "1")
    monkeypatch.delenv("GATEWRIGHT_PROGRAM", raising=False)
    monkeypatch.setenv("PATH", str(folders[0]))
    monkeypatch.setattr(_program, "HERE", tmp_path)
    assert _program.find() == str(folders[0] / "gatewright")
    monkeypatch.setattr(_program, "HERE", tmp_path / "package")
    assert _program.find() == str(folders[1] / "gatewright")
    monkeypatch.setenv("GATEWRIGHT_PROGRAM", str(folders[2] / "gatewright"))
    assert _program.find() == str(folders[2] / "gatewright")


def test_another_version_is_said_once(imitate):
    imitate("exit 0", "9.9.9")
    with pytest.warns(UserWarning, match=r"the package is version .*, the program .* is 9\.9\.9"):
        _program.usable()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _program.usable()
    _program._compared.clear()
    pathlib.Path(os.environ["GATEWRIGHT_PROGRAM"]).write_text("#!/bin/sh\necho something else\n")
    with pytest.raises(RuntimeError, match="to name gatewright and its version, got 'something else"):
        _program.usable()


def test_an_interrupted_run_goes_on_to_the_same_bits(program, tmp_path):
    """Breaks if the program is killed rather than asked, or if Python does not wait until it has saved."""
    overrides = {"epochs": 400, "checkpoint_steps": 4000}  # long enough to be interrupted in
    whole = gatewright.train("iris", out=tmp_path / "whole", overrides=overrides, **IRIS)

    def stop(step, total, *rest):
        if 30 < step < total:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="Go on with"):
        gatewright.train("iris", out=tmp_path / "cut", overrides=overrides, callbacks=[stop], **IRIS)
    done = len((tmp_path / "cut" / "metrics.jsonl").read_text("utf-8").splitlines())
    again = gatewright.train(resume=tmp_path / "cut", progress=False)
    assert done < len(whole.runs[0].records())
    for name in ("last.safetensors", "metrics.jsonl"):
        assert (whole.directory / name).read_bytes() == (again.directory / name).read_bytes(), name
    assert again.metrics["cross_entropy"] == whole.metrics["cross_entropy"]


def test_a_signal_to_python_alone_or_to_its_group_saves(program, tmp_path):
    code = (
        "import gatewright, sys\n"
        f"gatewright.train('iris', arm='mixture', out={str(tmp_path / 'run')!r}, overrides=['epochs=4000'],\n"
        "  progress=False, callbacks=[lambda *given: print(given[0], flush=True)])"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while int(child.stdout.readline()) < 20:
        pass
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert b"KeyboardInterrupt: interrupted" in errors and b"Go on with" in errors
    assert child.returncode in (1, -2, 130)
    assert (tmp_path / "run" / "last.safetensors").is_file()
    assert not list((tmp_path / "run").glob("*.tmp*"))


def test_whatever_a_callback_raises_ends_the_program(imitate, tmp_path):
    mark = tmp_path / "saved"
    imitate(
        f"trap 'sleep 0.3; echo late >&2; touch {mark}; exit 130' INT\n"
        'echo "x seed 0  10 % 1/10  5.0 steps/s  0:02 left  loss 0.5" >&2\n'
        "i=0; while [ $i -lt 200 ]; do sleep 0.05; i=$((i+1)); done"
    )

    def fails(*given):
        raise LookupError("mine")

    started = time.monotonic()
    with pytest.raises(LookupError, match="mine"):
        gatewright.train("x", callbacks=[fails], progress=False)
    assert mark.is_file() and time.monotonic() - started < 8


@pytest.mark.parametrize(
    ("line", "want"),
    [
        (
            "adv_moe seed 0   20 % 2/10  2.9 s/step  0:23 left  loss 2.313",
            (2, 10, 1 / 2.9, 23.0, {"loss": 2.313}),
        ),
        ("a b  ███▍···· 100 % 200/200  8362 examples/s", (200, 200, 8362.0, None, {})),
        ("m seed 1  ·····   0 % 0/9", (0, 9, None, None, {})),
        ("m seed 1   3 % 3/90  1.5 steps/s  1:02:03 left", (3, 90, 1.5, 3723.0, {})),
    ],
)
def test_lines_of_progress(line, want):
    got = []
    following = _following.Following([lambda *given: got.append(given)], lambda a, s: pathlib.Path("/none"))
    following.hear(line)
    following.hear(line)  # the first one of a label has no rate
    assert got[1] == (want[0], want[1], pytest.approx(want[2]), want[3], want[4])
    assert got[0][2:4] == (None, None)


def test_notes_are_passed_on(capsys):
    following = _following.Following([], None)
    following.hear("adv_moe seed 0: router loss reaches the router, gradient norm 4.03")
    following.hear("gatewright: an error that becomes an exception")
    assert "reaches the router" in capsys.readouterr().err


def test_plain_lines_without_tqdm(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    following = _following.Following(_following.shown(None), None)
    following.hear("m seed 1   3 % 3/90  1.5 steps/s  loss 0.25")
    following.end()
    assert "m seed 1  3/90" in capsys.readouterr().err
    assert _following.shown(False) == []


def test_values_as_toml():
    numpy = pytest.importorskip("numpy")
    table = {
        "name": 'a "quoted"\n text ä \x7f',
        "on": True,
        "many": [1, 2.5, 1e-7, 1e300, float("inf"), numpy.float32(0.5)],
        "sizes": {"tiny": {"seeds": [0], "config": {"epochs": 3, "clip": {"router": 1.0}}}},
        "marks": [{"name": "x", "scale": 1e22, "deep": {"a b": [{"c": 1}]}}, {"name": "y"}],
        "empty": {},
        "paths": [pathlib.PurePosixPath("a/b")],
    }
    read = tomllib.loads(_toml.document(table))
    assert read == {**table, "paths": ["a/b"]}
    assert _toml.overrides({"objective.beta": 1, "clip": {"router": 1.0}}) == [
        "objective.beta=1",
        "clip={ router = 1.0 }",
    ]
    with pytest.raises(ValueError, match=r"in data\.path, got NoneType"):
        _toml.overrides({"data": {"path": None}})
    with pytest.raises(ValueError, match="name=value"):
        _toml.overrides(["epochs"])


def test_results_are_plain(program, tmp_path):
    result = gatewright.train("iris", out=tmp_path / "run", overrides={"epochs": 1}, **IRIS)
    assert json.loads(json.dumps(result.arms)) == result.arms
