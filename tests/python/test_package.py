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


def test_sdist_holds_what_a_wheel_needs_and_nothing_else(tmp_path):
    """Breaks when a source includes, or CMake names, what the archive leaves out, or when it takes more
    along."""
    import re
    import tarfile

    build = backend()
    name = build.build_sdist(tmp_path)
    stem = name.removesuffix(".tar.gz")
    with tarfile.open(tmp_path / name) as archive:
        names = {n.removeprefix(f"{stem}/") for n in archive.getnames()}
    tops = {n.split("/")[0] for n in names}
    assert tops == {
        "PKG-INFO",
        "CMakeLists.txt",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "cmake",
        "gatewright",
        "python",
    }
    assert not any(n.endswith((".so", "_build.json")) or "__pycache__" in n for n in names)
    sources = {n for n in names if n.startswith(("gatewright/", "python/csrc/"))}
    # Every source that the archive has is compiled, or included by one that is; and nothing included is
    # missing.
    included = set()
    for source in sources:
        text = (ROOT / source).read_text("utf-8", "replace")
        for inner in re.findall(r'^\s*#\s*include "([^"]+)"', text, re.M):
            found = [
                p for p in (inner, str(pathlib.PurePosixPath(source).parent / inner)) if (ROOT / p).is_file()
            ]
            assert found and found[0] in names, f"{source} includes {inner}"
            included.add(found[0])
    compiled = {n for n in sources if n.endswith((".cpp", ".cu", ".cmake"))}
    assert sources <= included | compiled
    for floor in build.FLOORS:
        for file in (ROOT / "gatewright" / floor).rglob("*.cpp"):
            assert file.relative_to(ROOT).as_posix() in names
    assert not any(
        n.startswith(f"gatewright/{f}/") for n in names for f in ("train", "runs", "report", "models")
    )
    for file in (ROOT / "python" / "gatewright").rglob("*.py*"):
        kept = file.relative_to(ROOT).as_posix()
        assert kept in names or "__pycache__" in kept
    assert {"python/gatewright/py.typed", "python/gatewright/_likelihood.pyi", "PKG-INFO"} <= names


def test_sdists_of_the_same_files_are_the_same_but_for_the_clock(tmp_path):
    import gzip

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (tmp_path / f / backend().build_sdist(tmp_path / f) for f in ("a", "b"))
    assert gzip.decompress(one.read_bytes()) == gzip.decompress(other.read_bytes())


def test_metadata_without_building(tmp_path):
    for hook in ("prepare_metadata_for_build_wheel", "prepare_metadata_for_build_editable"):
        folder = tmp_path / hook
        folder.mkdir()
        name = getattr(backend(), hook)(folder)
        text = (folder / name / "METADATA").read_text("utf-8")
        assert name == f"gatewright-{gatewright.__version__}.dist-info"
        assert (
            f"Requires-Dist: torch=={_load.minor(torch.__version__)}.*" in text
            and "Requires-Dist: numpy" in text
        )


def wheel_made(monkeypatch, tmp_path, hook):
    """(names, text of a name) of a wheel whose extensions are stand-ins."""
    import zipfile

    build = backend()

    def imitate(to):
        for name in ("_ops.so", "_likelihood.cpython-311-x86_64-linux-gnu.so", "_build.json"):
            (to / name).write_bytes(b"")

    package = tmp_path / "python" / "gatewright"
    package.mkdir(parents=True)
    for file in ("__init__.py", "py.typed", "_likelihood.pyi"):
        (package / file).write_text("x")
    monkeypatch.setattr(build, "build_extensions", imitate)
    monkeypatch.setattr(build, "BUILD", tmp_path / "build")
    monkeypatch.setattr(build, "PACKAGE", package)
    archive = zipfile.ZipFile(tmp_path / getattr(build, hook)(tmp_path))
    return archive, {n for n in archive.namelist() if ".dist-info/" not in n}


def test_a_wheel_holds_the_package_and_its_extensions(monkeypatch, tmp_path):
    archive, names = wheel_made(monkeypatch, tmp_path, "build_wheel")
    assert names == {
        f"gatewright/{n}"
        for n in (
            "__init__.py",
            "py.typed",
            "_likelihood.pyi",
            "_ops.so",
            "_likelihood.cpython-311-x86_64-linux-gnu.so",
            "_build.json",
        )
    }
    assert archive.testzip() is None


def test_an_editable_wheel_names_the_folder(monkeypatch, tmp_path):
    archive, names = wheel_made(monkeypatch, tmp_path, "build_editable")
    assert names == {"gatewright.pth"}
    assert archive.read("gatewright.pth").decode() == f"{tmp_path / 'python'}\n"
    assert (tmp_path / "python" / "gatewright" / "_ops.so").is_file()  # where the sources are


def test_extensions_ask_for_no_libfmt():
    folder = pathlib.Path(gatewright.__file__).parent
    for file in folder.glob("*.so"):
        needed = subprocess.run(["readelf", "-d", file], capture_output=True, text=True)
        if needed.returncode != 0:
            pytest.skip("readelf is not installed")
        assert "libfmt" not in needed.stdout


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
    """Every public function and method says what it takes and gives."""
    folder = pathlib.Path(gatewright.__file__).parent
    assert (folder / "py.typed").is_file()
    seen = 0
    for file in folder.glob("[!_]*.py"):
        tree = ast.parse(file.read_text())
        classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
        for node in (n for owner in (tree, *classes) for n in owner.body if isinstance(n, ast.FunctionDef)):
            if node.name.startswith("_"):
                continue
            seen += 1
            given = [a for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")]
            assert node.returns is not None, f"{file.name}: {node.name}"
            assert all(a.annotation for a in given), f"{file.name}: {node.name}"
    assert seen > 50


def test_the_stub_of_the_native_module_names_what_it_has():
    native = pytest.importorskip("gatewright._likelihood")
    stub = ast.parse((pathlib.Path(gatewright.__file__).parent / "_likelihood.pyi").read_text())
    declared = {n.name: n for n in stub.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    assert set(declared) == {n for n in dir(native) if not n.startswith("_")}
    methods = {n.name for n in declared["Model"].body if isinstance(n, ast.FunctionDef)}
    assert methods == {n for n in dir(native.Model) if not n.startswith("_")}
    for name, node in declared.items():
        if isinstance(node, ast.FunctionDef):
            signature = getattr(native, name).__doc__.split("\n")[0]
            assert all(f"{a.arg}: " in signature for a in node.args.args), name


def test_what_the_package_names_is_there():
    for name in gatewright.__all__:
        assert getattr(gatewright, name) is not None
    assert set(gatewright.__all__) == {"__version__", "doctor", *gatewright._FROM, *gatewright._LAZY}


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
