"""What an installed package says of itself, and how it refuses what does not fit."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import pathlib
import subprocess
import sys
import time

import pytest
import torch

import gatewright
from gatewright import _load

ROOT = pathlib.Path(__file__).resolve().parents[2]


def backend():
    spec = importlib.util.spec_from_file_location("backend", ROOT / "python" / "_build" / "backend.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_metadata_pins_the_torch_it_was_built_for():
    requires = importlib.metadata.requires("gatewright")
    assert f"torch=={_load.minor(torch.__version__)}.*" in requires
    assert _load.build_info()["torch"] == torch.__version__
    assert importlib.metadata.version("gatewright") == gatewright.__version__


def test_another_torch_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    with pytest.raises(
        ImportError, match=r"built for torch 2\.\d+, found 2\.99\.0; build it again .*pip install"
    ) as error:
        _load.load()
    assert "\n" not in str(error.value)


def test_building_without_torch_stops_in_one_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("GATEWRIGHT_TORCH", str(tmp_path))
    with pytest.raises(SystemExit):
        backend().get_requires_for_build_wheel()
    said = capsys.readouterr().err
    assert (
        "found none" in said
        and "pip install torch" in said
        and "--no-build-isolation" in said
        and said.count("\n") == 1
    )
    (tmp_path / "lib").mkdir()
    (tmp_path / "version.py").write_text("__version__ = '1.13.1'\n")
    with pytest.raises(SystemExit):
        backend().get_requires_for_build_wheel()
    assert "found 1.13.1" in capsys.readouterr().err


def test_no_torch_is_required_for_building():
    text = (ROOT / "pyproject.toml").read_text()
    assert "requires = []" in text
    assert f"torch=={_load.minor(torch.__version__)}.*" in backend().metadata()


def test_sdist_holds_what_a_wheel_needs(tmp_path):
    import tarfile

    name = backend().build_sdist(tmp_path)
    with tarfile.open(tmp_path / name) as archive:
        names = archive.getnames()
    stem = name.removesuffix(".tar.gz")
    for needed in (
        "PKG-INFO",
        "pyproject.toml",
        "CMakeLists.txt",
        "python/_build/backend.py",
        "gatewright/ops/experts_ffn.cpp",
    ):
        assert f"{stem}/{needed}" in names
    assert not any(n.endswith((".so", "_build.json")) or "__pycache__" in n for n in names)


def test_importing_is_fast():
    code = (
        "import sys, time, torch; t = time.perf_counter(); import gatewright; print(time.perf_counter() - t);"
        " assert 'transformers' not in sys.modules and 'gatewright.nn' not in sys.modules"
    )
    best = min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(2)
    )
    assert best < 0.3


def test_doctor():
    out = subprocess.run(
        [sys.executable, "-m", "gatewright", "doctor"], capture_output=True, text=True, check=True
    ).stdout
    assert torch.__version__ in out and "moe_ffn" in out
    assert subprocess.run([sys.executable, "-m", "gatewright", "docter"], capture_output=True).returncode == 2


def test_kernel_levels_can_be_forced():
    code = "import gatewright; print(gatewright.doctor()['kernels']['moe_ffn']['chosen'])"

    def run(level):
        environment = {"GATEWRIGHT_KERNELS": level, "PATH": ""}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)

    assert run("ref").stdout.strip() == "ref"
    assert "ValueError" in run("avx3").stderr


def test_types_are_declared():
    folder = pathlib.Path(gatewright.__file__).parent
    assert (folder / "py.typed").is_file()
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.col_offset == 0:
                assert node.returns is not None, f"{file.name}: {node.name}"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'MoE'"):
        gatewright.MoE  # noqa: B018


def test_fork_after_use():
    """A forked worker computes serially instead of waiting for threads that it does not have."""
    code = """
import torch, gatewright, multiprocessing
from torch.utils.data import DataLoader, Dataset
from gatewright import ops
index, weight = torch.randint(0, 4, (64, 2)), torch.rand(64, 2)
first, down = torch.randn(4, 64, 32), torch.randn(4, 32, 32)
run = lambda x: ops.experts_ffn(x, index, weight, first, down)
class Rows(Dataset):
    def __len__(self): return 4
    def __getitem__(self, i): return run(torch.full((64, 32), float(i)))
want = [run(torch.full((64, 32), float(i))) for i in range(4)]
got = [b[0] for b in DataLoader(Rows(), num_workers=2, batch_size=1, multiprocessing_context='fork')]
assert all(torch.equal(a, b) for a, b in zip(got, want))
"""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert time.monotonic() - started < 60


def test_build_file_is_json():
    assert set(json.loads((pathlib.Path(gatewright.__file__).parent / "_build.json").read_text())) == {
        "gatewright",
        "torch",
    }
