"""Which expert served what: recorded from any model that holds our layers or dispatches its experts by name, read,
and forced again. The files are those of the program (docs/recording.md): `gatewright inspect` and `gatewright report`
read them.
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

from gatewright import _recording
from gatewright._recording import Decision, Frame, Reader, Writer

__all__ = ["Decision", "Frame", "Recorder", "Recording", "read_routes", "record_routes", "replay"]

TokenIds = bool | Tensor | Callable[..., Tensor | None]


def _sites(model: nn.Module) -> tuple[dict[nn.Module, str], dict[nn.Module, str]]:
    """Routers of ours, and experts that others route to, with the names of their layers."""
    from gatewright import nn as layers
    from gatewright.transformers import expert_layers

    named = dict(model.named_modules())
    own = {m: n for n, m in named.items() if isinstance(m, layers.Router)}
    theirs = {m: n.removesuffix(".experts") for n, m in expert_layers(model).items()}
    for name, module in named.items():
        if isinstance(module, layers.MoE):
            catalogued = isinstance(module.gate, layers.Router)
            (own if catalogued else theirs)[module.gate if catalogued else module.experts] = name
    if not own and not theirs:
        raise ValueError(
            f"gatewright: expected a model with layers of gatewright.nn, or of transformers with experts that "
            f"dispatch by name, got {type(model).__name__} without one"
        )
    return ({m: n or "router" for m, n in found.items()} for found in (own, theirs))


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to("cpu").numpy()


def _floats(tensor: Tensor) -> np.ndarray:
    """float32, or float64 as it is: what a recording holds exactly."""
    kept = tensor.detach().to("cpu")
    return (kept if kept.dtype == torch.float64 else kept.float()).numpy()


def _recomputed() -> bool:
    """Whether this is a checkpoint's second pass, inside of a backward pass. Errors: ValueError while compiling."""
    if torch.compiler.is_compiling():
        raise ValueError(
            "gatewright: expected an eager model while routes are recorded or replayed, got torch.compile or "
            "torch.export; record before compiling"
        )
    return torch._C._current_graph_task_id() != -1


class _Tap:
    """Hooked to every layer of a model that decides, and to the model for its batches."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.own, self.theirs = _sites(model)
        self.hooks: list[Any] = []
        self.inside = False  # of a forward pass of the whole model

    def attach(self) -> None:
        for router in self.own:
            if router._tap is not None:
                raise ValueError(
                    "gatewright: expected a model that is not being recorded or replayed already"
                )
        for router in self.own:
            router._tap = self
        self.hooks = [m.register_forward_pre_hook(self._experts) for m in self.theirs]
        self.hooks.append(self.model.register_forward_pre_hook(self._entered, with_kwargs=True))
        self.hooks.append(self.model.register_forward_hook(self._left, always_call=True))

    def detach(self) -> None:
        for router in self.own:
            router.__dict__.pop("_tap", None)
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def _entered(self, model: nn.Module, arguments: tuple, named: dict[str, Any]) -> None:
        if not _recomputed():
            self.inside = True
            self.enter(arguments, named)

    def _left(self, model: nn.Module, arguments: tuple, result: Any) -> None:
        if not _recomputed():
            self.inside = False
            self.leave(result is not None)

    def _experts(self, module: nn.Module, arguments: tuple) -> tuple | None:
        raise NotImplementedError

    # What the subclasses do; routers call force before a plan and see after it.
    def enter(self, arguments: tuple, named: dict[str, Any]) -> None: ...
    def leave(self, whole: bool) -> None: ...
    def force(self, router: nn.Module, scores: Tensor, facts: dict, again: bool) -> dict:
        return facts

    def see(self, router: nn.Module, scores: Tensor, plan: Any) -> None: ...


class Recorder(_Tap):
    """What record_routes() gives. Every forward pass of the model is a batch; a program with batches of its own
    calls begin() and end() around each instead."""

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
        if every < 1 or phase not in (None, *_recording.PHASES):
            raise ValueError(
                f"gatewright.record_routes: expected every of at least 1 and a phase of {_recording.PHASES}, got "
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
            path.mkdir(parents=True, exist_ok=True)
            recipe = path / "recipe.json"
            if not recipe.exists():
                recipe.write_text(json.dumps(told) + "\n", "utf-8")
        self.writer = Writer(self.path, told, resume_after)

    def begin(self, phase: str, step: int = 0, *, epoch: int = 0, batch: int = 0, labels: Any = None) -> None:
        """A batch of the caller's: what is decided until end() belongs to it. labels: one per token, at least 0."""
        self.by_hand = True
        self._begin(phase, step, epoch, batch, labels)

    def end(self) -> None:
        """Writes the batch."""
        self._end()
        self.by_hand = False

    def _begin(self, phase: str, step: int, epoch: int, batch: int, labels: Any) -> None:
        self._end()
        if (step - 1 if phase == "train" else batch) % self.every == 0:
            kept = None if labels is None else _numbers(torch.as_tensor(labels)).reshape(-1).astype(np.int64)
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
            self._end()

    def _ids(self, arguments: tuple, named: dict[str, Any]) -> Tensor | None:
        if self.token_ids is False:
            return None
        if self.token_ids is not True:
            return self.token_ids if isinstance(self.token_ids, Tensor) else self.token_ids(*arguments, **named)
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
        expert = np.repeat(np.arange(experts), _numbers(plan.offsets.diff()))
        kept = _floats(scores) if self.scores and scores.size(-1) == experts else None
        decision = Decision(
            self.own[router], experts, scores.size(0), expert, _numbers(plan.token), _floats(plan.weight), kept
        )
        self.frame.decisions.append(decision)

    def _wanted(self, site: str) -> bool:
        """Whether a decision is recorded. Of layers that are called without the model a batch ends where one of them
        comes again."""
        if not self.by_hand and not self.inside:
            if self.frame is None or any(d.site == site for d in self.frame.decisions):
                self._start(None)
        return self.frame is not None

    def _experts(self, module: nn.Module, arguments: tuple) -> None:
        if _recomputed() or not self._wanted(self.theirs[module]):
            return
        _, index, weight = arguments[:3]
        self.frame.decisions.append(
            Decision.of_slots(self.theirs[module], module.num_experts, _numbers(index), _floats(weight))
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
    """Writes down every routing decision of the model's layers while it lasts; what they compute does not change.

    path: a file ("routes.bin"), or a folder, which then also holds what `gatewright report` looks for. Each forward
    pass is a batch: "train" in training mode, with steps 1, 2, …, else "inference"; `phase` names another. every:
    one batch (in training: one step) in so many. token_ids: True records the model's input_ids as the labels of the
    tokens, so that `inspect` says which token goes where; a tensor or a function of the model's arguments gives
    others. Recordings with ids reveal the text; without them much can be guessed.
    weights, scores: also those (N·4 and T·E·4 bytes a decision; scores of our own layers only).

    Layers: gatewright.nn.MoE and Router, and experts of transformers that dispatch by name, enabled or not. Errors:
    ValueError without such a layer, under torch.compile, for a token that has an expert twice.
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
        """Rows of each expert, decision by decision [B, E]. Errors: KeyError naming the layers that there are."""
        if site not in [name for name, _ in self.sites]:
            raise KeyError(f"expected a layer of {[name for name, _ in self.sites]}, got {site!r}")
        return np.stack([d.load() for d in self.decisions(site, phase)])

    def frame(self):
        """A pandas frame with a row for each token and expert: phase, step, batch, site, purpose, token, expert,
        label and weight (missing where none were recorded)."""
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
    """Reads a recording, or the one in a run's folder, of Python or of the program. A file that was cut or damaged
    is read up to there, and `lost_bytes` says what follows. Errors: ValueError for other files."""
    return Recording(path)


class _Replayer(_Tap):
    def __init__(self, model: nn.Module, path: str | os.PathLike[str], weights: str, phase: str | None) -> None:
        super().__init__(model)
        if weights not in ("fresh", "recorded"):
            raise ValueError(
                f'gatewright.replay: expected weights "fresh" or "recorded", got {weights!r}'
            )
        path = pathlib.Path(path)
        self.weights, self.path = weights, path / "routes.bin" if path.is_dir() else path
        self.frames = (f for f in Reader(self.path) if phase in (None, f.phase))
        self.frame: Frame | None = None
        self.at = 0  # decisions of this batch, so far
        self.given: dict[nn.Module, list[Decision]] = {}

    def place(self) -> str:
        f = self.frame
        return "before the first batch" if f is None else f"{f.phase} step {f.step} batch {f.batch}"

    def enter(self, arguments: tuple, named: dict[str, Any]) -> None:
        before = self.place()
        self.frame, self.at, self.given = next(self.frames, None), 0, {}
        if self.frame is None:
            raise ValueError(f"gatewright.replay: expected no batch after {before} of {self.path}, got one more")

    def leave(self, whole: bool) -> None:
        if whole and self.frame is not None and self.at != len(self.frame.decisions):
            raise ValueError(
                f"gatewright.replay: expected {len(self.frame.decisions)} decisions at {self.place()}, got {self.at}; "
                "replay needs the same model"
            )

    def due(self, module: nn.Module, site: str, tokens: int, experts: int) -> Decision:
        if _recomputed():
            given = self.given.get(module, [])
            if len(given) != 1:
                raise ValueError(
                    f"gatewright.replay: expected layer {site!r} once in each pass under checkpointing, got "
                    f"{len(given)} times"
                )
            return given[0]
        if not self.inside and (self.frame is None or self.at == len(self.frame.decisions)):
            self.enter((), {})  # layers that are called without the model
        if self.at >= len(self.frame.decisions):
            raise ValueError(f"gatewright.replay: expected no further decision at {self.place()}, got {site!r}")
        d = self.frame.decisions[self.at]
        if (d.site, d.tokens, d.experts) != (site, tokens, experts):
            raise ValueError(
                f"gatewright.replay: expected at {self.place()} layer {d.site!r} ({d.tokens} tokens, {d.experts} "
                f"experts), got {site!r} ({tokens} tokens, {experts} experts); replay needs the same model and data"
            )
        self.at += 1
        self.given.setdefault(module, []).append(d)
        return d

    def force(self, router: nn.Module, scores: Tensor, facts: dict, again: bool) -> dict:
        experts = router.options["experts"]
        d = self.due(router, self.own[router], scores.size(0), experts)
        slots = d.slots()
        slots = slots if slots.shape[1] else np.full((d.tokens, 1), -1)
        facts = {**facts, "given": torch.from_numpy(slots)}
        if self.weights == "recorded":
            given = d.slot_weights()
            facts["given_weight"] = torch.from_numpy(given if given.shape[1] else np.zeros((d.tokens, 1)))
        return facts

    def _experts(self, module: nn.Module, arguments: tuple) -> tuple:
        hidden, index, weight = arguments[:3]
        d = self.due(module, self.theirs[module], index.size(0), module.num_experts)
        slots = torch.from_numpy(d.slots())
        present = index.detach().cpu()
        served = torch.where((present < 0) | (present >= d.experts), -1, present)
        same = _same_sets(served, slots)
        if bool(same.all()) and self.weights == "fresh":
            return arguments
        if self.weights == "fresh":
            raise ValueError(
                f"gatewright.replay: expected the present router of {d.site!r} to choose what was recorded, got "
                f"{int((~same).sum())} of {d.tokens} tokens with other experts; their weights are not known here: record "
                'with weights=True and replay with weights="recorded"'
            )
        given = torch.from_numpy(d.slot_weights())
        # Sums over experts are in this order: that of the recorded pass wherever routers order by weight.
        order = given.argsort(dim=1, descending=True, stable=True)
        slots, given = slots.gather(1, order), given.gather(1, order)
        where = same[:, None] if slots.shape == present.shape else torch.zeros(len(same), 1, dtype=torch.bool)
        if bool(where.any()):
            found = slots[:, None, :] == present[:, :, None]
            place = found.int().argmax(2)
            slots = torch.where(where, slots.gather(1, place), slots)
            given = torch.where(where, given.gather(1, place), given)
        slots = torch.where(slots < 0, module.num_experts, slots)
        return hidden, slots.to(index), given.to(weight), *arguments[3:]


def _same_sets(one: Tensor, other: Tensor) -> Tensor:
    """Whether rows hold the same experts, −1 aside [T]."""
    wide = max(one.size(1), other.size(1))
    full = [torch.cat([t, t.new_full((t.size(0), wide - t.size(1)), -1)], 1).sort(1).values for t in (one, other)]
    return (full[0] == full[1]).all(1)


@contextlib.contextmanager
def replay(
    model: nn.Module, path: str | os.PathLike[str], weights: str = "fresh", *, phase: str | None = None
) -> Iterator[nn.Module]:
    """Forces recorded routes while it lasts: the experts come from the recording, whatever the scores say.

    Forward passes of the model take the recorded batches in their order (those of `phase` alone, if given). weights:
    "fresh", the policy weighs the given experts with the present scores and gradients reach the gate; where it
    chooses what was recorded its own plan is used, to the bit. "recorded": the recorded weights, constants; for
    layers of transformers, whose scores are not seen here, this is needed wherever another expert would be chosen.

    Errors: ValueError where the model asks for something else than was recorded (layer, number of tokens, of
    experts, of batches), naming both.
    """
    replayer = _Replayer(model, path, weights, phase)
    replayer.attach()
    try:
        yield model
    finally:
        replayer.detach()
