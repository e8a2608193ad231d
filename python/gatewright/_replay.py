"""Recorded routes forced on a model."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gatewright._recording import Decision, Frame
from gatewright._recording_reader import Reader
from gatewright._route_tap import Tap, recomputed


class Replayer(Tap):
    def __init__(
        self, model: nn.Module, path: str | os.PathLike[str], weights: str, phase: str | None
    ) -> None:
        super().__init__(model)
        if weights not in ("fresh", "recorded"):
            raise ValueError(f'gatewright.replay: expected weights "fresh" or "recorded", got {weights!r}')
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
            raise ValueError(
                f"gatewright.replay: expected no batch after {before} of {self.path}, got one more"
            )

    def leave(self, whole: bool) -> None:
        if whole and self.frame is not None and self.at != len(self.frame.decisions):
            raise ValueError(
                f"gatewright.replay: expected {len(self.frame.decisions)} decisions at {self.place()}, "
                f"got {self.at}; "
                "replay needs the same model"
            )

    def due(self, module: nn.Module, site: str, tokens: int, experts: int) -> Decision:
        if recomputed():
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
            raise ValueError(
                f"gatewright.replay: expected no further decision at {self.place()}, got {site!r}"
            )
        d = self.frame.decisions[self.at]
        if (d.site, d.tokens, d.experts) != (site, tokens, experts):
            raise ValueError(
                f"gatewright.replay: expected at {self.place()} layer {d.site!r} ({d.tokens} tokens, "
                f"{d.experts} "
                f"experts), got {site!r} ({tokens} tokens, {experts} experts); replay needs the same "
                "model and data"
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
                f"gatewright.replay: expected the present router of {d.site!r} to choose what was "
                "recorded, got "
                f"{int((~same).sum())} of {d.tokens} tokens with other experts; their weights are not "
                "known here: record "
                'with weights=True and replay with weights="recorded"'
            )
        given = torch.from_numpy(d.slot_weights())
        # Sums over experts are in the order of the slots. The recorded one was that of the present
        # router where it still has the recorded weights, and else most likely that of the weights.
        order = given.argsort(dim=1, descending=True, stable=True)
        slots, given = slots.gather(1, order), given.gather(1, order)
        if slots.shape == present.shape and bool(same.any()):
            place = (slots[:, None, :] == present[:, :, None]).int().argmax(2)
            mine = given.gather(1, place)
            kept = same & (mine == weight.detach().cpu().to(mine)).all(1)
            slots = torch.where(kept[:, None], slots.gather(1, place), slots)
            given = torch.where(kept[:, None], mine, given)
        slots = torch.where(slots < 0, module.num_experts, slots)
        return hidden, slots.to(index), given.to(weight), *arguments[3:]


def _same_sets(one: Tensor, other: Tensor) -> Tensor:
    """Whether rows hold the same experts, −1 aside [T]."""
    wide = max(one.size(1), other.size(1))
    full = [
        torch.cat([t, t.new_full((t.size(0), wide - t.size(1)), -1)], 1).sort(1).values for t in (one, other)
    ]
    return (full[0] == full[1]).all(1)


@contextlib.contextmanager
def replay(
    model: nn.Module, path: str | os.PathLike[str], weights: str = "fresh", *, phase: str | None = None
) -> Iterator[nn.Module]:
    """Forces recorded routes while it lasts: the experts come from the recording, whatever the scores say.

    Forward passes of the model take the recorded batches in their order (those of `phase` alone, if
    given). weights: "fresh", the policy weighs the given experts with the present scores and gradients
    reach the gate; where it chooses what was recorded its own plan is used, to the bit. "recorded": the
    recorded weights, constants; for layers of transformers, whose scores are not seen here, this is
    needed wherever another expert would be chosen.

    Errors: ValueError where the model asks for something else than was recorded (layer, number of tokens, of
    experts, of batches), naming both.
    """
    replayer = Replayer(model, path, weights, phase)
    replayer.attach()
    try:
        yield model
    finally:
        replayer.detach()
