"""The built program for tests that run it, and stand-ins for it."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def built() -> str:
    """Path of the built `gatewright`; skips where there is none."""
    named = os.environ.get("GATEWRIGHT_PROGRAM") or os.environ.get("GATEWRIGHT_CLI")
    path = pathlib.Path(named or ROOT / "build" / "gatewright")
    if not path.is_file():
        pytest.skip(f"the program is not built: {path}")
    return str(path)


def stand_in(folder: pathlib.Path, body: str, version: str) -> str:
    """A program that answers --version, and else does what the lines of shell say."""
    path = folder / "gatewright"
    path.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo "gatewright {version}, commit x"; exit 0; '
        f"fi\n{body}\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)
