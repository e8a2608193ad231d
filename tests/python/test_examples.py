"""The programs of examples/python and the snippets of docs/python.md, each in a process of its own."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

import program_help

ROOT = pathlib.Path(__file__).resolve().parents[2]
SNIPPETS = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "docs" / "python.md").read_text("utf-8"), re.M | re.S
)


@pytest.mark.parametrize("program", sorted((ROOT / "examples" / "python").glob("*.py")), ids=lambda p: p.stem)
def test_example(program):
    if program.stem == "mixtral":
        pytest.importorskip("peft")
    environment = dict(os.environ)
    if "gatewright.train(" in program.read_text("utf-8"):
        environment["GATEWRIGHT_PROGRAM"] = program_help.built()
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("code", SNIPPETS, ids=[code.splitlines()[0][:40] for code in SNIPPETS])
def test_snippet(code, monkeypatch, tmp_path):
    if "transformers" in code:
        pytest.importorskip("transformers", minversion="5.0")
    if "gatewright.train(" in code:
        monkeypatch.setenv("GATEWRIGHT_PROGRAM", program_help.built())
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/python.md", "exec"), {})


def test_the_page_has_snippets():
    assert len(SNIPPETS) >= 4
