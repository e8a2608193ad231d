"""The kernels as functions of tensors, visible to autograd, torch.compile and torch.export.

Each function calls an op of torch.ops.gatewright. Shapes: T tokens of D values, K experts per token
of E with H hidden values each, O outputs (mostly D).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gatewright import _load

_load.load()  # before the fakes and derivatives below, which belong to the extension

_ops = torch.ops.gatewright
LAYOUTS = ("cat", "interleaved", "up", "cat_t", "interleaved_t", "up_t")


class Routes(NamedTuple):
    """Rows sorted by expert: those of expert e are offsets[e] … offsets[e + 1] - 1; past offsets[E]
    everything is -1."""

    offsets: Tensor  # [E + 1]
    token: Tensor  # [T·K]
    slot: Tensor  # [T·K], place in the flattened ids


class TopK(NamedTuple):
    expert: Tensor  # [T, k] int64, largest score first, the lower index first among equals
    weight: Tensor  # [T, k]


class QuantisedExperts(NamedTuple):
    """Stacks of experts in 8 or 4 bits, in the order of the kernels."""

    parts: list[Tensor]
    sizes: list[int]  # experts, in, hidden, out, bits, in_group, hidden_group

    def bytes(self) -> int:
        return sum(part.numel() * part.element_size() for part in self.parts[:6])


def experts_ffn(
    x: Tensor,
    index: Tensor,
    weight: Tensor,
    first: Tensor,
    down: Tensor,
    first_bias: Tensor | None = None,
    down_bias: Tensor | None = None,
    *,
    activation: str = "silu",
    layout: str = "cat",
    limit: float = 0.0,
    shift: float = 0.0,
    recompute: bool = False,
    token: Tensor | None = None,
) -> Tensor:
    """The experts of a mixture layer: y_t = Σ_k weight_tk · expert_index_tk(x_t) [T, O].

    x [T, D], index [T, K] int64, weight [T, K]. first and down as the layout says: "cat" [E, 2H, D]
    with gate rows before up rows and [E, O, H]; "interleaved" the same by turns; "up" [E, H, D], no
    gate; "…_t" transposed to [E, D, 2H] and [E, H, O]. Biases [E, 2H] and [E, O] in the type of the
    stacks. expert(x) = down(f(gate)·up), with a limit f(min(gate, limit))·(clamp(up, ±limit) +
    shift). `activation`: a name of docs/activations.md.

    Ids of E or more stand for nobody (experts of another rank); the same id twice counts twice.
    Computes in the type of the stacks (f32, bf16, f64), sums in f32 or f64, returns the type of x;
    under autocast to bf16 the stacks are cast. Stacks are read where they lie, transposed and
    strided ones too. Same bits for any number of threads.

    With `token` [R] int64, index and weight are [R, K], and row r is that of token[r]: the rows of
    any plan.

    Gradients: x, weight, stacks, biases, each only where wanted; no second derivatives. Keeps
    T·K·2H values, or none with `recompute`. Errors: ValueError for what does not fit, and for
    negative ids.
    """
    given = (x, weight, first, down, first_bias, down_bias)
    recorded = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in given)
    keep = recorded and not recompute
    return _ops.experts_ffn(
        x, index, weight, first, down, first_bias, down_bias, activation, layout, limit, shift, keep, token
    )[0]


def route_plan(index: Tensor, experts: int) -> Routes:
    """Ids [T, K] int64 sorted by expert, ties by token; ids of `experts` or more have no row.
    Errors: negative ids."""
    return Routes(*_ops.route_plan(index, experts))


def top_k(scores: Tensor, k: int, score: str = "softmax", renormalise: bool = False) -> TopK:
    """Score function ("softmax", "sigmoid", "identity"), choice of the k largest and
    renormalisation in one pass.

    scores [T, E] in f32 or f64. Gradient through the chosen weights. Errors: ValueError for k
    outside 1 … E, an unknown score function, NaN scores (names the token).
    """
    weight, expert = _ops.top_k(scores, k, score, renormalise)
    return TopK(expert, weight)


def quantise_experts(
    first: Tensor,
    down: Tensor,
    first_bias: Tensor | None = None,
    down_bias: Tensor | None = None,
    *,
    layout: str = "cat",
    bits: int = 8,
    group: int = 0,
) -> QuantisedExperts:
    """Stacks in 8 or 4 bits with one scale per output and `group` inputs (0: a whole row). Errors:
    ValueError."""
    parts = _ops.quantise_experts(first, down, first_bias, down_bias, layout, bits, group)
    lanes, inner = (2, 1) if layout.endswith("_t") else (1, 2)
    hidden = first.size(lanes) // (1 if layout.startswith("up") else 2)
    width = first.size(inner)
    sizes = [first.size(0), width, hidden, down.size(lanes), bits, group or width, group or hidden]
    return QuantisedExperts(parts, sizes)


def experts_ffn_quantised(
    x: Tensor,
    index: Tensor,
    weight: Tensor,
    experts: QuantisedExperts,
    *,
    activation: str = "silu",
    limit: float = 0.0,
    shift: float = 0.0,
) -> Tensor:
    """experts_ffn for inference, from few bits; x in f32 or bf16. No gradients."""
    parts, sizes = experts
    return _ops.experts_ffn_quantised(x, index, weight, parts, sizes, activation, limit, shift)


class Transport(NamedTuple):
    """A balanced plan, float64, without gradient."""

    plan: Tensor  # [T, E]
    iterations: int
    residual: float  # largest relative error of the sums that the solver does not hold exactly


def sinkhorn(
    scores: Tensor, temperature: float = 1.0, iterations: int = 100, tolerance: float = 1e-3
) -> Transport:
    """diag(u) exp(scores / temperature) diag(v) with rows that sum to 1 and columns that sum to T/E.

    scores [T, E], finite. Rows are exact, `residual` is that of the columns. In float64 on logarithms and
    in one thread; 2·T·E exponentials an iteration. Errors: ValueError. Source: Cuturi 2013, arXiv
    1306.0895.
    """
    return Transport(*_ops.sinkhorn(scores, temperature, iterations, tolerance))


def balanced_assignment(scores: Tensor, precision: float = 1e-3) -> Tensor:
    """One expert for each token [T] int64, at most ceil(T/E) tokens each, of largest total score within
    T·precision times the range of the scores; by auction. Errors: ValueError. Source: Bertsekas 1992."""
    return _ops.balanced_assignment(scores, precision)


def sparse_transport(
    scores: Tensor, k: int, gamma: float = 1.0, iterations: int = 1000, tolerance: float = 1e-3
) -> Transport:
    """Balanced transport in which an expert receives at most k tokens. Columns are exact and sparse,
    `residual` is that of the rows; gamma is lowered where it would spread a column over more tokens.
    Errors: ValueError for k·E below T + E − gcd(T, E), unless it is T. Source: Liu, Puigcerver and
    Blondel 2022, arXiv 2209.15466."""
    return Transport(*_ops.sparse_transport(scores, k, gamma, iterations, tolerance))


# Shapes alone, for torch.compile, torch.export and fake tensors.
def _width(stack: Tensor, layout: str) -> int:
    return stack.size(2 if layout.endswith("_t") else 1)


@torch.library.register_fake("gatewright::experts_ffn")
def _(
    x, index, weight, first, down, first_bias, down_bias, activation, layout, limit, shift, keep, token=None
):
    slots = index.size(0) * index.size(1)
    kept = (slots, _width(first, layout)) if keep else (0,)
    return x.new_empty((x.size(0), _width(down, layout))), first.new_empty(kept)


@torch.library.register_fake("gatewright::experts_ffn_backward")
def _(
    dy,
    x,
    index,
    weight,
    first,
    down,
    first_bias,
    down_bias,
    activation,
    layout,
    limit,
    shift,
    kept,
    want,
    token=None,
):
    inputs = (x, weight, first, down, first_bias, down_bias)
    return tuple(
        t.new_empty(t.size()) if wanted and t is not None else x.new_empty((0,))
        for t, wanted in zip(inputs, want, strict=True)
    )


@torch.library.register_fake("gatewright::experts_ffn_quantised")
def _(x, index, weight, parts: Sequence[Tensor], sizes: Sequence[int], activation, limit, shift):
    return x.new_empty((x.size(0), sizes[3]))


@torch.library.register_fake("gatewright::route_plan")
def _(index, experts):
    slots = index.size(0) * index.size(1)
    return index.new_empty((experts + 1,)), index.new_empty((slots,)), index.new_empty((slots,))


@torch.library.register_fake("gatewright::top_k")
def _(scores, k, score, renormalise):
    shape = (scores.size(0), k)
    return scores.new_empty(shape), scores.new_empty(shape, dtype=torch.int64)


@torch.library.register_fake("gatewright::top_k_backward")
def _(dweight, scores, expert, weight, score, renormalise):
    return torch.empty_like(scores)


def _refuse_vmap(name: str):
    def refuse(info, in_dims, *arguments):
        raise ValueError(
            f"{name}: expected tensors of one batch, got torch.vmap; fold its dimension into the tokens"
        )

    torch.library.register_vmap(f"gatewright::{name}", refuse)


for _name in (
    "experts_ffn",
    "experts_ffn_backward",
    "experts_ffn_quantised",
    "route_plan",
    "top_k",
    "top_k_backward",
):
    _refuse_vmap(_name)
