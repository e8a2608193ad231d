"""Mixtures of experts: kernels for torch and transformers, routers by name, and mixtures as statistics.

    import gatewright
    layer = gatewright.nn.MoE(hidden=64, expert_hidden=128, experts=8, k=2)
    gatewright.transformers.enable(model)

docs/python.md has the rest. Where torch is imported already its ops are registered at once; else with the
first of ops, nn and transformers that is named: gatewright.likelihood needs no torch and does not wait
for it.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what __getattr__ below brings when it is named
    from gatewright import lightning, likelihood, nn, ops, recipes, routes, transformers
    from gatewright.recipes import attack, check, inspect, report, train
    from gatewright.routes import read_routes, record_routes, replay

    __version__: str

_LAZY = ("lightning", "likelihood", "nn", "ops", "recipes", "routes", "transformers")
_FROM = {
    **dict.fromkeys(("attack", "check", "inspect", "report", "train"), "recipes"),
    **dict.fromkeys(("read_routes", "record_routes", "replay"), "routes"),
}
__all__ = [
    "__version__",
    "attack",
    "check",
    "doctor",
    "inspect",
    "lightning",
    "likelihood",
    "nn",
    "ops",
    "read_routes",
    "recipes",
    "record_routes",
    "replay",
    "report",
    "routes",
    "train",
    "transformers",
]


def doctor() -> dict[str, Any]:
    """What runs on this machine and why: versions, processor, kernel levels. `python -m gatewright
    doctor` prints it."""
    from gatewright._doctor import report

    return report()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("gatewright")
    if name in _LAZY:
        return importlib.import_module(f"gatewright.{name}")
    if name in _FROM:
        return getattr(importlib.import_module(f"gatewright.{_FROM[name]}"), name)
    if not name.startswith("_"):
        try:
            likelihood = importlib.import_module("gatewright.likelihood")
        except ImportError:
            likelihood = None
        if name in getattr(likelihood, "__all__", ()):
            return getattr(likelihood, name)
    raise AttributeError(f"module 'gatewright' has no attribute {name!r}")


if "torch" in sys.modules:
    importlib.import_module("gatewright.ops")
