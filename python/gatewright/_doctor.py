"""What runs here and why."""

from __future__ import annotations

import importlib.util
import json
import platform
from typing import Any

import torch

from gatewright import _load, ops  # noqa: F401  (ops loads the extension)


def report() -> dict[str, Any]:
    native = json.loads(torch.ops.gatewright.describe("machine"))
    built = _load.build_info()
    return {
        "gatewright": built["gatewright"],
        "built for torch": built["torch"],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "transformers": _version("transformers"),
        "peft": _version("peft"),
        **native,
    }


def _version(name: str) -> str | None:
    from importlib import metadata

    return metadata.version(name) if importlib.util.find_spec(name) else None


def print_report() -> None:
    for key, value in report().items():
        if key != "kernels":
            print(f"{key:18}{'not installed' if value is None else value}")
    print("kernel families:")
    for family, levels in report()["kernels"].items():
        print(f"  {family:16}{levels['chosen']} ({levels['why']})")
        for name, reason in levels["unavailable"].items():
            print(f"  {'':16}{name}: {reason}")
