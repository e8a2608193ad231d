"""Recipes from Python: training, checks, attacks and reports of the program `gatewright`, with its
results as plain dicts and frames.

The engine of recipes is the program, which has a libtorch of its own: these functions run it as a child
process, hand its errors on as exceptions and what it wrote as values. docs/python.md says how it is
found.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gatewright import _program, _toml
from gatewright._following import Callback, Following, shown

Path = str | os.PathLike[str]
Recipe = Path | Mapping[str, Any]
Callbacks = Sequence[Callback | Callable[..., Any]]
__all__ = ["Callback", "Result", "Run", "attack", "check", "inspect", "report", "train"]


@dataclass
class Run:
    """One run directory: an arm of a recipe with a seed."""

    arm: str
    seed: int
    directory: pathlib.Path
    metrics: dict[str, float] = field(default_factory=dict)

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl: one per training step ("kind": "train") and per validation."""
        lines = (self.directory / "metrics.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def frame(self, kind: str = "train") -> Any:
        """records() of one kind as a pandas frame, by step."""
        return _pandas().DataFrame([r for r in self.records() if r["kind"] == kind]).set_index("step")


@dataclass
class Result:
    """What train() and check() give back."""

    directory: pathlib.Path
    runs: list[Run]
    arms: dict[str, dict[str, Any]]  # arm → its entry in check.json, or {"seed", "directory", "metrics"}
    marks: list[dict[str, Any]] = field(default_factory=list)  # claim, mark, measured, verdict, meets, …
    holds: bool = True  # whether every mark is met

    @property
    def metrics(self) -> dict[str, Any]:
        """Of the only run, its metrics; of several, those of each arm."""
        if len(self.runs) == 1:
            return self.runs[0].metrics
        return {arm: entry.get("metrics", {}) for arm, entry in self.arms.items()}

    def run(self, arm: str, seed: int | None = None) -> Run:
        """The run of an arm. Errors: KeyError naming those that there are."""
        for one in self.runs:
            if one.arm == arm and seed in (None, one.seed):
                return one
        raise KeyError(f"expected one of {[(r.arm, r.seed) for r in self.runs]}, got {(arm, seed)}")

    def frame(self) -> Any:
        """A pandas frame: a row for each arm and seed, a column for each metric."""
        rows = [{"arm": r.arm, "seed": r.seed, **r.metrics} for r in self.runs]
        return _pandas().DataFrame(rows).set_index(["arm", "seed"])


def _pandas():
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "gatewright: frames are pandas'; run `pip install pandas`, or use records()"
        ) from error
    return pandas


def _written(recipe: Recipe, beside: pathlib.Path) -> tuple[str, str]:
    """(what the program is given, the recipe's name): a dict is written as `beside`.toml first."""
    if not isinstance(recipe, Mapping):
        text = os.fspath(recipe)
        return text, pathlib.PurePath(text).stem if text.endswith(".toml") else text
    if "name" not in recipe:
        raise ValueError(
            'gatewright: expected a "name" in a recipe, got none; it names directories and reports'
        )
    path = beside.with_name(beside.name + ".toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_toml.document(recipe), "utf-8")
    return str(path), str(recipe["name"])


def _beside(out: Path | None, recipe: Recipe) -> pathlib.Path:
    name = str(recipe.get("name", "recipe")) if isinstance(recipe, Mapping) else "recipe"
    return pathlib.Path("runs") / name if out is None else pathlib.Path(out)


def _sets(overrides: _toml.Overrides) -> list[str]:
    return [word for one in _toml.overrides(overrides) for word in ("--set", one)]


def _front(threads: int | None) -> list[str]:
    return [] if threads is None else ["--threads", str(threads)]


def _watched(arguments: list[str], following: Following) -> tuple[int, str, list[str]]:
    try:
        return _program.run(arguments, following.hear)
    finally:
        following.end()


def train(
    recipe: Recipe | None = None,
    *,
    size: str = "tiny",
    arm: str | None = None,
    seed: int | None = None,
    overrides: _toml.Overrides = (),
    out: Path | None = None,
    record_routes: bool = False,
    replay_routes: Path | None = None,
    resume: Path | None = None,
    callbacks: Callbacks = (),
    progress: bool | None = None,
    threads: int | None = None,
) -> Result:
    """Trains an arm of a recipe (or all) and evaluates it: `gatewright train`.

    recipe: a name, the path of a .toml file, or a dict of the same form, which is written to <out>.toml
    (without `out`: runs/<name>.toml). overrides: {"epochs": 3, "objective.beta": 1} or ["epochs=3"]. out:
    the run directory, for one arm; default runs/<recipe>-<size>-<arm>-seed<k>. resume: a run directory
    that was interrupted, instead of a recipe; it ends as one that was never interrupted, bit for bit.
    progress: False for silence.

    Errors: ValueError in the program's words for what it refuses, RuntimeError where it fails,
    FileNotFoundError without a program. KeyboardInterrupt after the program has saved: go on with
    resume=.
    """
    if (recipe is None) == (resume is None):
        raise ValueError("gatewright.train: expected a recipe or resume=, got both or neither")
    words, folder = [*_front(threads), "train"], None
    if resume is not None:
        words += ["--resume", os.fspath(resume)]
        folder = lambda arm, seed: pathlib.Path(resume)  # noqa: E731
    else:
        given, name = _written(recipe, _beside(out, recipe))
        words += [given, "--size", size, *_sets(overrides)]
        words += [] if arm is None else ["--arm", arm]
        words += [] if seed is None else ["--seed", str(seed)]
        words += [] if out is None else ["--out", os.fspath(out)]
        words += ["--record-routes"] if record_routes else []
        words += [] if replay_routes is None else ["--replay-routes", os.fspath(replay_routes)]

        def folder(of: str, with_seed: int) -> pathlib.Path:
            usual = pathlib.Path("runs") / f"{name}-{size}-{of}-seed{with_seed}"
            return usual if out is None or of != arm else pathlib.Path(out)

    following = Following([*shown(progress), *callbacks], folder, progress is not False)
    code, said, heard = _watched([*words, "--json"], following)
    if code != 0:
        raise _program.error_of(code, heard, "train")
    runs = []
    for line in said.splitlines():
        one = json.loads(line)
        runs.append(Run(one["arm"], one["seed"], pathlib.Path(one["directory"]), one["metrics"]))
    arms = {r.arm: {"seed": r.seed, "directory": str(r.directory), "metrics": r.metrics} for r in runs}
    return Result(runs[0].directory if len(runs) == 1 else runs[0].directory.parent, runs, arms)


def check(
    recipe: Recipe,
    *,
    size: str = "tiny",
    arms: Iterable[str] = (),
    seeds: Iterable[int] = (),
    overrides: _toml.Overrides = (),
    out: Path | None = None,
    fresh: bool = False,
    callbacks: Callbacks = (),
    progress: bool | None = None,
    threads: int | None = None,
    jobs: int = 1,
) -> Result:
    """Runs a recipe's arms over its seeds and compares every measurement with its mark: `gatewright check`.

    arms, seeds: only these. out: default runs/check-<recipe>-<size>; runs that it holds are not run again
    unless `fresh`. A mark that is not met is a result (`holds` is False, `marks` says which), not an
    exception. jobs: runs at a time, each in its own process, 0: as many as there are seeds, up to the cores;
    callbacks then hear of several runs in turns, each turn between an on_start and an on_end. The rest as for
    train(); after a KeyboardInterrupt the same call goes on.
    """
    given, name = _written(recipe, _beside(out, recipe))
    directory = pathlib.Path("runs") / f"check-{name}-{size}" if out is None else pathlib.Path(out)
    words = [*_front(threads), "check", given, "--size", size, "--out", str(directory), *_sets(overrides)]
    for flag, values in (("--arm", list(arms)), ("--seeds", list(seeds))):
        words += [flag, *map(str, values)] if values else []
    words += ["--jobs", str(jobs), *(["--fresh"] if fresh else [])]
    folder = lambda arm, seed: directory / f"{arm}-seed{seed}"  # noqa: E731
    following = Following([*shown(progress), *callbacks], folder, progress is not False)
    code, said, heard = _watched([*words, "--json"], following)
    if code not in (0, 1) or not said.strip():
        raise _program.error_of(code, heard, "check")
    document = json.loads(said)
    entries = {entry["arm"]: entry for entry in document["arms"]}
    return Result(directory, _runs_in(directory, entries), entries, document["rows"], code == 0)


def _runs_in(directory: pathlib.Path, arms: Mapping[str, Any]) -> list[Run]:
    runs = []
    for path in sorted(directory.glob("*-seed*/metrics.json")):
        arm, _, seed = path.parent.name.rpartition("-seed")
        if arm in arms and seed.isdigit():
            document = json.loads(path.read_text("utf-8"))
            runs.append(Run(arm, int(seed), path.parent, document.get("metrics", document)))
    order = list(arms)
    return sorted(runs, key=lambda run: (order.index(run.arm), run.seed))


def _quietly(words: list[str], task: str) -> str:
    code, said, heard = _program.run(words)
    if code != 0:
        raise _program.error_of(code, heard, task)
    return said


def _folder(run: Path | Run | Result) -> str:
    return str(run.directory) if isinstance(run, (Run, Result)) else os.fspath(run)


def report(*runs: Path | Run | Result, out: Path | None = None) -> pathlib.Path:
    """Writes the HTML report of runs or checks (several on one page) and returns its path. Errors: as
    train()."""
    if not runs:
        raise ValueError("gatewright.report: expected runs or checks, got none")
    words = ["report", *map(_folder, runs)]
    _quietly(words if out is None else [*words, "--out", os.fspath(out)], "report")
    default = pathlib.Path(_folder(runs[0]) if len(runs) == 1 else ".") / "report.html"
    return default if out is None else pathlib.Path(out)


def attack(
    run: Path | Run | Result,
    attacks: Iterable[str] = (),
    *,
    beside: Iterable[str] = (),
    epsilon: float | str | None = None,
    images: int | None = None,
    overrides: _toml.Overrides = (),
    checkpoint: str | None = None,
    callbacks: Callbacks = (),
    progress: bool | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Attacks a trained network: accuracies clean, under each attack and in the worst case, as
    `gatewright attack` has them. attacks: parts of the catalogue, default those of the run's recipe;
    beside: further ones, which are not part of the worst case; epsilon: 0.03 or "8/255"."""
    words = [*_front(threads), "attack", _folder(run), *_sets(overrides)]
    for name in attacks:
        words += ["--with", name]
    for name in beside:
        words += ["--beside", name]
    for flag, given in (("--epsilon", epsilon), ("--images", images), ("--checkpoint", checkpoint)):
        words += [] if given is None else [flag, str(given)]
    following = Following([*shown(progress), *callbacks], None, progress is not False)
    code, said, heard = _watched([*words, "--json"], following)
    if code != 0:
        raise _program.error_of(code, heard, "attack")
    return json.loads(said)


def inspect(path: Path | Run | Result, *, against: Path | Run | Result | None = None) -> dict[str, Any]:
    """The routing of a recorded run, a recording or a checkpoint, as `gatewright inspect --json` has it:
    loads, entropies, dead experts, flips, who serves which class. docs/recording.md."""
    words = ["inspect", _folder(path), "--json"]
    return json.loads(
        _quietly(words if against is None else [*words, "--against", _folder(against)], "inspect")
    )
