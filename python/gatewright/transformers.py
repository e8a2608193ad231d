"""Our experts in Hugging Face models: enable(model) before training or inference, disable(model) to go back.

Every class that dispatches its experts by name is reached (Mixtral, OLMoE, Qwen, DeepSeek, GPT-OSS,
Granite, … of transformers 5). What cannot be computed here falls back to the class's own forward,
which is said once with the reason. The choice is not saved with the model: enable it again after
loading.
"""

from __future__ import annotations

import warnings
import weakref
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from gatewright import ops
from gatewright._expert_spec import Spec, reason_now, spec_of

NAME = "gatewright"
_before: weakref.WeakKeyDictionary[nn.Module, dict] = weakref.WeakKeyDictionary()


@dataclass
class Report:
    """Which layers compute with our experts, and why the others do not."""

    took: dict[str, str]  # layer → how: activation, layout, type
    missed: dict[str, str] = field(default_factory=dict)  # layer → why not

    def __str__(self) -> str:
        lines = [f"{len(self.took)} of {len(self.took) + len(self.missed)} layers of experts use gatewright"]
        how = sorted(set(self.took.values()))
        lines += [f"  {sum(one == v for v in self.took.values())} × {one}" for one in how]
        lines += [f"  not {name}: {why}" for name, why in self.missed.items()]
        return "\n".join(lines)


def __getattr__(name: str) -> Any:
    if name == "RouteRecorderCallback":
        from gatewright._trainer_callback import RouteRecorderCallback

        return RouteRecorderCallback
    raise AttributeError(f"module 'gatewright.transformers' has no attribute {name!r}")


def _interface():
    try:
        from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS, ExpertsInterface
    except ImportError as error:
        try:
            from transformers import __version__ as found
        except ImportError:
            found = "none"
        raise ImportError(
            f"gatewright.transformers: expected transformers 5 whose experts dispatch by name, got {found}; "
            "run `pip install -U transformers`"
        ) from error
    return ExpertsInterface, ALL_EXPERTS_FUNCTIONS


def experts_forward(self: nn.Module, hidden: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """What the classes of transformers call: hidden [T, D], index and weight [T, K] → [T, D]."""
    spec: Spec | str = getattr(self, "_gatewright", None) or _remembered(self)
    first = (
        self.gate_up_proj if self.has_gate else self.up_proj
    )  # read at every call: LoRA computes it on access
    down = self.down_proj
    reason = spec if isinstance(spec, str) else reason_now(hidden, first, down)
    if reason:
        _say_once(self, reason)
        return type(self).forward.__wrapped__(self, hidden, index, weight)
    return ops.experts_ffn(
        hidden,
        index,
        weight,
        first,
        down,
        getattr(self, spec.first_bias) if spec.first_bias else None,
        getattr(self, spec.down_bias) if spec.down_bias else None,
        activation=spec.activation,
        layout=spec.layout,
        limit=spec.limit,
        shift=spec.shift,
    )


def _remembered(module: nn.Module) -> Spec | str:
    module._gatewright = spec_of(module)
    return module._gatewright


def _say_once(module: nn.Module, reason: str) -> None:
    if getattr(module, "_gatewright_said", None) != reason:
        module._gatewright_said = reason
        warnings.warn(f"gatewright: {type(module).__name__} uses its own forward: {reason}", stacklevel=3)


def expert_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Modules that dispatch their experts by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if hasattr(module, "is_transposed")
        and hasattr(module, "has_gate")
        and hasattr(type(module).forward, "__wrapped__")
    }


def _undispatched(model: nn.Module) -> dict[str, str]:
    """Modules that look like experts but do not dispatch."""
    dispatching = expert_layers(model)
    found = {}
    for name, module in model.named_modules():
        label = type(module).__name__
        if label.endswith(("Experts", "SparseMLP", "MoE", "SparseMoeBlock")) and not any(
            inner is module or inner in module.modules() for inner in dispatching.values()
        ):
            found[name] = f"{label} does not dispatch its experts by name"
    return found


def enable(model: nn.Module, strict: bool = True) -> Report:
    """Lets every layer of experts that can compute with gatewright. Returns which do, and why the
    others do not.

    With `strict` a model without a single such layer is an error. Enable after `.to(dtype)` or
    before: the types are looked at in every call. `model` is a PreTrainedModel or anything that
    holds one (a PEFT model, say).
    """
    interface, _ = _interface()
    interface.register(NAME, experts_forward)
    layers = expert_layers(model)
    for holder in _pretrained(model):
        _before.setdefault(holder, holder.get_experts_implementation())
        holder.set_experts_implementation(NAME)
    took, missed = {}, _undispatched(model)
    for name, module in layers.items():
        spec = _remembered(module)
        if isinstance(spec, str):
            missed[name] = spec
        elif module.config._experts_implementation != NAME:
            missed[name] = (
                f"its config did not take the name (it has {module.config._experts_implementation!r})"
            )
        else:
            took[name] = spec.words(module.down_proj.dtype)
    report = Report(took, missed)
    if strict and not took:
        disable(model)
        why = "; ".join(sorted(set(missed.values()))) or "it has no layer of experts"
        raise ValueError(
            f"gatewright.transformers.enable: expected a model whose experts dispatch by name, got "
            f"{type(model).__name__}: {why}; strict=False returns the report instead"
        )
    return report


def disable(model: nn.Module) -> None:
    """Puts back what the model used before enable()."""
    for holder in _pretrained(model):
        before = _before.pop(holder, None)
        if before is not None:
            holder.set_experts_implementation(before)
    for module in expert_layers(model).values():
        module.__dict__.pop("_gatewright", None)
        module.__dict__.pop("_gatewright_said", None)


def _pretrained(model: nn.Module) -> list[nn.Module]:
    """The outermost modules that transformers configures."""
    if hasattr(model, "set_experts_implementation"):
        return [model]
    found: list[nn.Module] = []
    for module in model.modules():
        inside = any(module in outer.modules() for outer in found)
        if "set_experts_implementation" in dir(type(module)) and not inside:
            found.append(module)
    if not found:
        raise ValueError(
            f"gatewright.transformers: expected a model of transformers, or one that holds it, got "
            f"{type(model).__name__}; for a layer of your own see gatewright.nn.MoE"
        )
    return found
