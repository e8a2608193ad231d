"""What routers decide, and how a gate of the catalogue is differentiated."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Plan(NamedTuple):
    """Who goes where: rows sorted by expert, those of e are offsets[e] … offsets[e + 1] - 1."""

    offsets: Tensor  # [E + 1]
    token: Tensor  # [N], or -1 for soft slots
    weight: Tensor  # [N], with the gradient to the gate
    losses: dict[str, Tensor]  # by balancer, coefficients applied
    bypass: Tensor | None = None  # [T] share of x that passes unchanged
    dispatch: Tensor | None = None  # [N, T] and combine [T, N]: soft plans
    combine: Tensor | None = None

    def counts(self) -> Tensor:
        """Rows of every expert [E]."""
        return self.offsets.diff()

    def entropy(self) -> float:
        """Of the load, over its largest value: 1 is even."""
        share = self.counts() / self.counts().sum().clamp(min=1)
        largest = torch.log(torch.tensor(float(max(len(share), 2))))
        return float(-(share * share.clamp(min=1e-30).log()).sum() / largest)


class Scores(torch.autograd.Function):
    """Scores of a gate of the catalogue. Its graph is kept inside and asked again by the backward pass."""

    @staticmethod
    def forward(ctx, router: Any, facts: dict[str, Tensor], x: Tensor, *parameters: Tensor) -> Tensor:
        router.lend()
        with torch.enable_grad():
            own = list(router._native.parameters().values())
            ctx.inputs = [x.detach().requires_grad_(x.requires_grad), *own]
            ctx.scores = router._native.scores(ctx.inputs[0], router.training, facts)
        return ctx.scores.detach()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor):
        wanted = [t for t in ctx.inputs if t.requires_grad]
        found = iter(torch.autograd.grad(ctx.scores, wanted, gradient, allow_unused=True))
        return None, None, *(next(found) if t.requires_grad else None for t in ctx.inputs)


class Held:
    """Keeps the catalogue's router out of sight of torch.export, which would lift it as an input."""

    __slots__ = ("router",)

    def __init__(self, router):
        self.router = router
