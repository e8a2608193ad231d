"""What a class of experts of transformers computes, found out by trying it, and whether our kernels
compute it too."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "relu_squared": lambda x: F.relu(x).square(),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "identity": lambda x: x,
}
TYPES = (torch.float32, torch.bfloat16, torch.float64)


class Spec(NamedTuple):
    """How ops.experts_ffn computes a layer."""

    activation: str
    layout: str
    limit: float
    shift: float
    first_bias: str  # attribute, or ""
    down_bias: str

    def words(self, dtype: torch.dtype) -> str:
        bounds = f", limit {self.limit:g}, shift {self.shift:g}" if self.limit or self.shift else ""
        return f"{self.activation}{bounds}, stacks {self.layout}, {str(dtype).removeprefix('torch.')}"


def _bounded(activation: str, limit: float, shift: float, gate: Tensor, up: Tensor) -> Tensor:
    if limit > 0:
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return ACTIVATIONS[activation](gate) * (up + shift)


def _probe() -> tuple[Tensor, Tensor]:
    values = torch.linspace(-24, 24, 97, dtype=torch.float64)
    return values.repeat(97), values.repeat_interleave(97)


def _limits(module: nn.Module) -> list[float]:
    named = (getattr(module, name, None) for name in ("limit", "swiglu_limit"))
    return [0.0, *(float(v) for v in named if isinstance(v, (int, float)) and v > 0)]


@torch.no_grad()
def _gate_of(module: nn.Module) -> tuple[str, float, float] | None:
    """(activation, limit, shift) that give what the class's _apply_gate gives on a grid of gates
    and ups, or None."""
    gate, up = _probe()
    both = torch.stack([gate, up], -1).flatten(-2) if not module.is_concatenated else torch.cat([gate, up])
    want = module._apply_gate(both[None])[0].double()
    for limit in _limits(module):
        for shift in (0.0, 1.0):
            for name in ACTIVATIONS:
                got = _bounded(name, limit, shift, gate, up)
                if got.shape == want.shape and torch.allclose(got, want, rtol=1e-5, atol=1e-5):
                    return name, limit, shift
    return None


@torch.no_grad()
def _activation_of(module: nn.Module) -> tuple[str, float, float] | None:
    x = _probe()[0]
    want = module.act_fn(x)
    for name, function in ACTIVATIONS.items():
        if torch.allclose(function(x), want, rtol=1e-5, atol=1e-5):
            return name, 0.0, 0.0
    return None


def _not_plain(module: nn.Module) -> str:
    if getattr(module, "has_post_expert_norm", False):
        return "it normalises each expert's output, which the kernels do not"
    acting = getattr(module, "act_fn", None)
    if isinstance(acting, nn.Module) and any(True for _ in acting.parameters()):
        return f"its activation {type(acting).__name__} has parameters of its own"
    if not hasattr(module, "gate_up_proj" if module.has_gate else "up_proj") or not hasattr(
        module, "down_proj"
    ):
        return "its weights are not the stacks gate_up_proj (or up_proj) and down_proj"
    return ""


def spec_of(module: nn.Module) -> Spec | str:
    """How to compute this layer, or the reason why not."""
    reason = _not_plain(module)
    if reason:
        return reason
    try:
        found = _gate_of(module) if module.has_gate else _activation_of(module)
    except Exception as error:  # a class of others: whatever it does, its own forward still works
        return f"its gate cannot be tried alone ({type(error).__name__}: {error})"
    if found is None:
        return f"its gate ({type(module).__name__}._apply_gate) is none that the kernels compute"
    layout = "up" if not module.has_gate else "cat" if module.is_concatenated else "interleaved"
    first = "gate_up_proj" if module.has_gate else "up_proj"
    bias = (f"{first}_bias", "down_proj_bias") if module.has_bias else ("", "")
    return Spec(found[0], layout + ("_t" if module.is_transposed else ""), found[1], found[2], *bias)


def reason_now(hidden: Tensor, first: Tensor, down: Tensor) -> str:
    """Why this call cannot be computed here, or ""."""
    for tensor in (first, down):
        if type(tensor) not in (Tensor, nn.Parameter) and type(tensor).__name__ not in (
            "FakeTensor",
            "FunctionalTensor",
        ):
            return f"its weights are of {type(tensor).__name__}, not plain tensors"
    if hidden.device.type not in ("cpu", "meta"):
        return f"its tensors are on {hidden.device.type}; the kernels run on the CPU"
    if down.dtype not in TYPES or first.dtype != down.dtype:
        return (
            f"its weights are {first.dtype} and {down.dtype}; the kernels take float32, bfloat16 and float64"
        )
    return ""
