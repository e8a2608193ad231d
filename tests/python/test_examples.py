"""The programs of examples/python and the snippets of docs/python.md, each in a process of its own."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SNIPPETS = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "docs" / "python.md").read_text("utf-8"), re.M | re.S
)


@pytest.mark.parametrize("program", sorted((ROOT / "examples" / "python").glob("*.py")), ids=lambda p: p.stem)
def test_example(program):
    if program.stem == "mixtral":
        pytest.importorskip("peft")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("code", SNIPPETS, ids=[code.splitlines()[0][:40] for code in SNIPPETS])
def test_snippet(code):
    if "transformers" in code:
        pytest.importorskip("transformers", minversion="5.0")
    exec(compile(code, "docs/python.md", "exec"), {})


def test_the_page_has_snippets():
    assert len(SNIPPETS) >= 4
