"""Mixtures of experts: kernels for torch and transformers, routers by name, and mixtures as statistics.

    import gatewright
    layer = gatewright.nn.MoE(hidden=64, expert_hidden=128, experts=8, k=2)
    gatewright.transformers.enable(model)

docs/python.md has the rest. Importing costs the extension's loading; submodules load when they are named.
"""

from __future__ import annotations

import importlib
from typing import Any

from gatewright import _load

_info = _load.load()
__version__: str = _info["gatewright"]

from gatewright import ops  # noqa: E402  (its fakes belong to the extension)

_LAZY = ("functional", "likelihood", "nn", "observe", "transformers")
__all__ = ["__version__", "doctor", "ops", *_LAZY]


def doctor() -> dict[str, Any]:
    """What runs on this machine and why: versions, processor, kernel levels. `python -m gatewright
    doctor` prints it."""
    from gatewright._doctor import report

    return report()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"gatewright.{name}")
    if not name.startswith("_"):
        try:
            likelihood = importlib.import_module("gatewright.likelihood")
        except ImportError:
            likelihood = None
        if name in getattr(likelihood, "__all__", ()):
            return getattr(likelihood, name)
    raise AttributeError(f"module 'gatewright' has no attribute {name!r}")
