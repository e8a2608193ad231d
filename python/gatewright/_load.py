"""Finds out whether the extension and the torch of now belong together, then loads it."""

from __future__ import annotations

import json
import os
import pathlib

import torch

HERE = pathlib.Path(__file__).parent
AGAIN = "from its source folder: `pip install --force-reinstall --no-deps .`"


def minor(version: str) -> str:
    """ "2.13.0+cpu" → "2.13": what an extension is bound to."""
    return ".".join(version.split("+")[0].split(".")[:2])


def build_info() -> dict[str, str]:
    """What the extension was built for. Errors: ImportError when it was not built."""
    file = HERE / "_build.json"
    if not file.is_file():
        raise ImportError(
            f"gatewright: expected its built extension beside {HERE}, found none; install it {AGAIN}"
        )
    return json.loads(file.read_text("utf-8"))


def load() -> dict[str, str]:
    """Loads the extension once. Errors: ImportError in one sentence, with the command that helps."""
    info = build_info()
    if minor(torch.__version__) != minor(info["torch"]):
        raise ImportError(
            f"gatewright: built for torch {minor(info['torch'])}, found {torch.__version__}; "
            f"build it again {AGAIN}"
        )
    try:
        torch.ops.load_library(str(HERE / "_ops.so"))
    except OSError as error:
        raise ImportError(
            f"gatewright: its extension does not load ({error}); build it again {AGAIN}"
        ) from error
    torch.ops.gatewright.force_kernels(os.environ.get("GATEWRIGHT_KERNELS", ""))
    return info
