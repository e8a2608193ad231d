"""Shared by all: small cases of experts, and the same computed by torch one expert at a time."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

GATES = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "relu_squared": lambda x: F.relu(x).square(),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


def dense_layer(case: dict, layout: str) -> tuple[torch.Tensor, ...]:
    """gate [E, H, D] (or None), up [E, H, D], down [E, O, H], biases, cut out of the stacks of a layout."""
    first, down = case["first"], case["down"]
    if layout.endswith("_t"):
        first, down = first.transpose(1, 2), down.transpose(1, 2)
    half = first.size(1) // 2
    cuts = {
        "cat": (slice(0, half), slice(half, None)),
        "interleaved": (slice(0, None, 2), slice(1, None, 2)),
        "up": (None, slice(None)),
    }[layout.removesuffix("_t")]
    bias = case["first_bias"]
    cut = lambda t, at: None if t is None or at is None else t[:, at]  # noqa: E731
    return (
        cut(first, cuts[0]),
        cut(first, cuts[1]),
        down,
        cut(bias, cuts[0]),
        cut(bias, cuts[1]),
        case["down_bias"],
    )


def reference(case: dict, layout="cat", activation="silu", limit=0.0, shift=0.0) -> torch.Tensor:
    """What experts_ffn promises, one (token, slot) at a time."""
    gate, up, down, gate_bias, up_bias, down_bias = dense_layer(case, layout)
    f, rows = GATES[activation], []
    for t in range(case["x"].size(0)):
        y = torch.zeros(down.size(1), dtype=down.dtype)
        for slot in range(case["index"].size(1)):
            e = int(case["index"][t, slot])
            if e >= down.size(0):
                continue
            row = case["x"][t].to(down.dtype)
            u = F.linear(row, up[e], None if up_bias is None else up_bias[e])
            if gate is None:
                h = f(u)
            else:
                g = F.linear(row, gate[e], None if gate_bias is None else gate_bias[e])
                if limit > 0:
                    g, u = g.clamp(max=limit), u.clamp(-limit, limit)
                h = f(g) * (u + shift)
            out = F.linear(h, down[e], None if down_bias is None else down_bias[e])
            y = y + case["weight"][t, slot].to(y.dtype) * out
        rows.append(y)
    return torch.stack(rows).to(case["x"].dtype) if rows else case["x"].new_zeros(0, down.size(1))


def make_case(
    layout="cat",
    bias=True,
    tokens=7,
    k=2,
    experts=5,
    d=6,
    h=10,
    out=6,
    dtype=torch.float64,
    sentinels=False,
    seed=0,
    grad=True,
) -> dict:
    """Expert 3 gets no row. With sentinels, some ids are past the last expert."""
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)  # noqa: E731
    wide = h if layout.startswith("up") else 2 * h
    case = {
        "x": normal(tokens, d),
        "weight": normal(tokens, k).to(torch.float32 if dtype == torch.bfloat16 else dtype),
        "first": normal(experts, wide, d) * 0.5,
        "down": normal(experts, out, h) * 0.5,
        "first_bias": normal(experts, wide) if bias else None,
        "down_bias": normal(experts, out) if bias else None,
    }
    if layout.endswith("_t"):
        case["first"], case["down"] = (case[n].transpose(1, 2).contiguous() for n in ("first", "down"))
    if grad:
        for tensor in case.values():
            if tensor is not None:
                tensor.requires_grad_(True)
    index = (
        torch.stack([torch.randperm(experts, generator=g)[:k] for _ in range(tokens)])
        if tokens
        else torch.empty(0, k)
    )
    index = index.long()
    index[index == 3] = 1
    if sentinels and tokens:
        index[0] = experts
        index[1, 0] = experts + 4
    return {"x": case.pop("x"), "index": index, **case}


@pytest.fixture(autouse=True)
def _two_threads():
    torch.set_num_threads(2)
    torch.manual_seed(0)
