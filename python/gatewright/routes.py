"""Which expert served what: recorded from any model that holds our layers or dispatches its experts by
name, read, and forced again. The files are those of the program (docs/recording.md): `gatewright inspect`
and `gatewright report` read them.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gatewright._recording import PHASES, Decision, Frame, Writer
from gatewright._recording_reader import Reader
from gatewright._replay import replay
from gatewright._route_tap import Tap, floats, numbers, recomputed

__all__ = ["Decision", "Frame", "Recorder", "Recording", "read_routes", "record_routes", "replay"]

TokenIds = bool | Tensor | Callable[..., Tensor | None]


class Recorder(Tap):
    """What record_routes() gives. Every forward pass of the model is a batch; a program with batches of
    its own calls begin() and end() around each instead."""

    def __init__(
        self,
        model: nn.Module,
        path: str | os.PathLike[str],
        *,
        every: int = 1,
        token_ids: TokenIds = False,
        weights: bool = False,
        scores: bool = False,
        phase: str | None = None,
        about: dict[str, Any] | None = None,
        resume_after: int | None = None,
    ) -> None:
        super().__init__(model)
        if every < 1 or phase not in (None, *PHASES):
            raise ValueError(
                f"gatewright.record_routes: expected every of at least 1 and a phase of {PHASES}, got "
                f"{every} and {phase!r}"
            )
        self.every, self.token_ids, self.weights, self.scores = every, token_ids, weights, scores
        self.phase = phase
        self.step = 0  # of training, counted by forward passes in training mode unless somebody says it
        self.counts = True
        self.evaluation = "inference"  # the phase of passes in evaluation mode
        self.frame: Frame | None = None
        self.by_hand = False
        self._last: tuple[str, int] | None = None
        self._batch = 0
        path = pathlib.Path(path)
        self.path = path if path.suffix else path / "routes.bin"
        told = {"name": type(model).__name__, **(about or {})}
        if not path.suffix:  # a folder is a run: `gatewright report` looks for its recipe
            if (path / "metrics.jsonl").exists():
                raise ValueError(
                    f"gatewright.record_routes: expected a folder for a new recording, got {path}, which "
                    "holds a run of the program; give another, or a file"
                )
            path.mkdir(parents=True, exist_ok=True)
            recipe = path / "recipe.json"
            if not recipe.exists():
                recipe.write_text(json.dumps(told) + "\n", "utf-8")
        self.writer = Writer(self.path, told, resume_after)

    def begin(self, phase: str, step: int = 0, *, epoch: int = 0, batch: int = 0, labels: Any = None) -> None:
        """A batch of the caller's: what is decided until end() belongs to it. labels: one per token, at
        least 0."""
        self.by_hand = True
        self._begin(phase, step, epoch, batch, labels)

    def end(self) -> None:
        """Writes the batch."""
        self._end()
        self.by_hand = False

    def _begin(self, phase: str, step: int, epoch: int, batch: int, labels: Any) -> None:
        self._end()
        if (step - 1 if phase == "train" else batch) % self.every == 0:
            kept = None if labels is None else numbers(torch.as_tensor(labels)).reshape(-1).astype(np.int64)
            self.frame = Frame(phase, step, epoch, batch, kept)

    def _end(self) -> None:
        frame, self.frame = self.frame, None
        if frame is not None and frame.decisions:
            self.writer.write(frame, self.weights, self.scores)

    def enter(self, arguments: tuple, named: dict[str, Any]) -> None:
        if not self.by_hand:
            self._start(self._ids(arguments, named))

    def _start(self, labels: Tensor | None) -> None:
        phase = self.phase or ("train" if self.model.training else self.evaluation)
        if phase == "train" and self.counts:
            self.step += 1
        self._batch = self._batch + 1 if (phase, self.step) == self._last else 0
        self._last = (phase, self.step)
        self._begin(phase, self.step, 0, self._batch, labels)

    def leave(self, whole: bool) -> None:
        if not self.by_hand:
            self.frame = self.frame if whole else None  # a pass that failed is no batch
            self._end()

    def _ids(self, arguments: tuple, named: dict[str, Any]) -> Tensor | None:
        if self.token_ids is False:
            return None
        if self.token_ids is not True:
            return (
                self.token_ids if isinstance(self.token_ids, Tensor) else self.token_ids(*arguments, **named)
            )
        given = [named.get("input_ids"), *arguments]
        for one in given:
            if isinstance(one, Tensor) and not one.is_floating_point():
                return one
        raise ValueError(
            "gatewright.record_routes: expected input_ids, or a tensor of integers as first argument, for "
            "token_ids=True, got none; give the ids, or a function of the model's arguments"
        )

    def see(self, router: nn.Module, scores: Tensor, plan: Any) -> None:
        if plan.dispatch is not None or not self._wanted(self.own[router]):  # soft plans have no routes
            return
        experts = len(plan.offsets) - 1
        expert = np.repeat(np.arange(experts), numbers(plan.offsets.diff()))
        kept = floats(scores) if self.scores and scores.size(-1) == experts else None
        decision = Decision(
            self.own[router], experts, scores.size(0), expert, numbers(plan.token), floats(plan.weight), kept
        )
        self.frame.decisions.append(decision)

    def _wanted(self, site: str) -> bool:
        """Whether a decision is recorded. Of layers that are called without the model a batch ends where
        one of them comes again."""
        alone = not self.by_hand and not self.inside
        if alone and (self.frame is None or any(d.site == site for d in self.frame.decisions)):
            self._start(None)
        return self.frame is not None

    def _experts(self, module: nn.Module, arguments: tuple) -> None:
        if recomputed() or not self._wanted(self.theirs[module]):
            return
        _, index, weight = arguments[:3]
        self.frame.decisions.append(
            Decision.of_slots(self.theirs[module], module.num_experts, numbers(index), floats(weight))
        )

    def close(self) -> None:
        """Takes the hooks away and closes the file."""
        self.detach()
        self._end()
        self.writer.close()


@contextlib.contextmanager
def record_routes(
    model: nn.Module,
    path: str | os.PathLike[str],
    every: int = 1,
    token_ids: TokenIds = False,
    *,
    weights: bool = False,
    scores: bool = False,
    phase: str | None = None,
    about: dict[str, Any] | None = None,
) -> Iterator[Recorder]:
    """Writes down every routing decision of the model's layers while it lasts; what they compute does not
    change.

    path: a file ("routes.bin"), or a folder, which then also holds what `gatewright report` looks for.
    Each forward pass is a batch: "train" in training mode, with steps 1, 2, …, else "inference"; `phase`
    names another. every: one batch (in training: one step) in so many. token_ids: True records the
    model's input_ids as the labels of the tokens, so that `inspect` says which token goes where; a tensor
    or a function of the model's arguments gives others. Recordings with ids reveal the text; without them
    much can be guessed. weights, scores: also those (N·4 and T·E·4 bytes a decision; scores of our own
    layers only).

    Layers: gatewright.nn.MoE and Router, and experts of transformers that dispatch by name, enabled or
    not. Errors: ValueError without such a layer, under torch.compile, for a token that has an expert
    twice.
    """
    recorder = Recorder(
        model,
        path,
        every=every,
        token_ids=token_ids,
        weights=weights,
        scores=scores,
        phase=phase,
        about=about,
    )
    recorder.attach()
    try:
        yield recorder
    finally:
        recorder.close()


class Recording:
    """A recording as arrays: `batches`, each with its `decisions`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        path = pathlib.Path(path)
        reader = Reader(path / "routes.bin" if path.is_dir() else path)
        self.batches: list[Frame] = list(reader)
        self.about: dict[str, Any] = reader.about
        self.sites: list[tuple[str, int]] = reader.sites  # name, experts
        self.lost_bytes: int = reader.lost_bytes  # of a file that was cut or damaged

    def decisions(self, site: str | None = None, phase: str | None = None) -> list[Decision]:
        """Those of a layer, of a phase ("train", "validation", "test", "inference"), or all."""
        frames = [f for f in self.batches if phase in (None, f.phase)]
        return [d for f in frames for d in f.decisions if site in (None, d.site)]

    def load(self, site: str, phase: str | None = None) -> np.ndarray:
        """Rows of each expert, decision by decision [B, E]. Errors: KeyError naming the layers that there
        are."""
        if site not in [name for name, _ in self.sites]:
            raise KeyError(f"expected a layer of {[name for name, _ in self.sites]}, got {site!r}")
        return np.stack([d.load() for d in self.decisions(site, phase)])

    def frame(self) -> Any:
        """A pandas frame with a row for each token and expert: phase, step, batch, site, purpose, token,
        expert, label and weight (missing where none were recorded)."""
        from gatewright.recipes import _pandas

        pandas, pieces = _pandas(), []
        for f in self.batches:
            for d in f.decisions:
                same = f.labels is not None and len(f.labels) == d.tokens
                columns = {"phase": f.phase, "step": f.step, "batch": f.batch, "site": d.site}
                columns |= {"purpose": d.purpose, "token": d.token, "expert": d.expert}
                columns["label"] = f.labels[d.token] if same else np.full(len(d.token), -1)
                columns["weight"] = np.full(len(d.token), np.nan) if d.weight is None else d.weight
                pieces.append(pandas.DataFrame(columns))
        return pandas.concat(pieces, ignore_index=True) if pieces else pandas.DataFrame()


def read_routes(path: str | os.PathLike[str]) -> Recording:
    """Reads a recording, or the one in a run's folder, of Python or of the program. A file that was cut
    or damaged is read up to there, and `lost_bytes` says what follows. Errors: ValueError for other
    files."""
    return Recording(path)
