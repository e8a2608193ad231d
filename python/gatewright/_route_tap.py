"""Where routes are seen and forced: hooks on every layer of a model that decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


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
            "gatewright: expected a model with layers of gatewright.nn, or of transformers with experts "
            "that "
            f"dispatch by name, got {type(model).__name__} without one"
        )
    return ({m: n or "router" for m, n in found.items()} for found in (own, theirs))


def numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to("cpu").numpy()


def floats(tensor: Tensor) -> np.ndarray:
    """float32, or float64 as it is: what a recording holds exactly."""
    kept = tensor.detach().to("cpu")
    return (kept if kept.dtype == torch.float64 else kept.float()).numpy()


def recomputed() -> bool:
    """Whether this is a checkpoint's second pass, inside of a backward pass. Errors: ValueError while
    compiling."""
    if torch.compiler.is_compiling():
        raise ValueError(
            "gatewright: expected an eager model while routes are recorded or replayed, got torch.compile or "
            "torch.export; record before compiling"
        )
    return torch._C._current_graph_task_id() != -1


class Tap:
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
        if not recomputed():
            self.inside = True
            self.enter(arguments, named)

    def _left(self, model: nn.Module, arguments: tuple, result: Any) -> None:
        if not recomputed():
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
