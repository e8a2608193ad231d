"""PEP 517 backend of the package `gatewright`: CMake builds the extensions against the torch that is already installed.

Needs a C++20 compiler, cmake, ninja and the headers of docs/decisions/002-dependencies.md; downloads nothing. Why not
scikit-build-core: docs/decisions/014-python-binding.md.
"""
import base64
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "gatewright"
BUILD = ROOT / "build-python"
OLDEST_TORCH = (2, 6)
# What a wheel is built from: whole folders, and of the engine what the extensions compile and what that includes.
SDIST = ("CMakeLists.txt", "pyproject.toml", "README.md", "LICENSE", "cmake", "python")
FLOORS = ("base", "kernels", "ops", "routing", "likelihood")
VERSION = re.search(r"project\(gatewright VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text("utf-8"))[1]


def built(name):
    """Whether a file of the package is CMake's or this file's, not a source."""
    return name == "_build.json" or name.endswith(".so")


def stop(sentence):
    print(f"gatewright: {sentence}", file=sys.stderr)
    raise SystemExit(1)


def torch_candidates():
    """Folders that may be the torch package: named by the user, beside pip's interpreter, in the active environment."""
    named = os.environ.get("GATEWRIGHT_TORCH")
    places = [named] if named else [sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]]
    for place in map(pathlib.Path, places):
        yield place
        yield place / "torch"
        yield from sorted(place.glob("lib/python*/site-packages/torch"))
    if not named and os.environ.get("VIRTUAL_ENV"):
        yield from sorted(pathlib.Path(os.environ["VIRTUAL_ENV"]).glob("lib/python*/site-packages/torch"))


def find_torch():
    """(folder, version) of the torch in the target environment, read from disk without importing it."""
    for folder in torch_candidates():
        version_file = folder / "version.py"
        if not (version_file.is_file() and (folder / "lib").is_dir()):
            continue
        found = re.search(r"__version__ = '([^']+)'", version_file.read_text("utf-8"))
        version = found[1] if found else "0.0"
        if tuple(int(n) for n in re.findall(r"\d+", version)[:2]) < OLDEST_TORCH:
            stop(f"expected torch 2.6 or newer, found {version} in {folder}; run `pip install -U torch`, then again")
        return folder, version
    where = os.environ.get("GATEWRIGHT_TORCH") or sysconfig.get_paths()["purelib"]
    stop(f"expected torch 2.6 or newer in the environment that it is installed into, found none in {where}; run `pip "
         "install torch` first, or name its folder: GATEWRIGHT_TORCH=<…/site-packages/torch> (with uv: that, or "
         "--no-build-isolation)")


def jobs():
    """Compilers that the cores and the memory bear, at 1.5 GB each; CMAKE_BUILD_PARALLEL_LEVEL wins."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        memory = 4 << 30
    return os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(max(1, min(os.cpu_count() or 1, memory // 1_500_000_000)))


def run(*command):
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        stop(f"expected `{' '.join(map(str, command[:3]))} …` to succeed, it failed; its own message is above")


def build_extensions(to):
    """Compiles into build-python/ and installs the extensions and _build.json into `to`."""
    torch, version = find_torch()
    if shutil.which("cmake") is None or shutil.which("ninja") is None:
        stop("expected cmake and ninja on PATH; run tools/install_deps.sh, or `pip install cmake ninja`, then again")
    options = {"CMAKE_BUILD_TYPE": "Release", "GATEWRIGHT_PYTHON_PACKAGE": "ON", "GATEWRIGHT_TORCH": torch,
               "GATEWRIGHT_UNITY": "8", "GATEWRIGHT_PYTHON": sys.executable, "CMAKE_INSTALL_PREFIX": to}
    extra = os.environ.get("GATEWRIGHT_CMAKE_ARGS", "").split()
    run("cmake", "-S", ROOT, "-B", BUILD, "-G", "Ninja", *(f"-D{k}={v}" for k, v in options.items()), *extra)
    run("cmake", "--build", BUILD, "--parallel", jobs())
    run("cmake", "--install", BUILD, "--component", "python")
    (to / "_build.json").write_text(json.dumps({"gatewright": VERSION, "torch": version}) + "\n", "utf-8")


def metadata():
    _, version = find_torch()
    pinned = ".".join(re.findall(r"\d+", version)[:2])
    head = [
        "Metadata-Version: 2.1", "Name: gatewright", f"Version: {VERSION}",
        "Summary: Mixtures of experts: kernels for torch and transformers, routers by name, and mixtures as statistics",
        "License: Apache-2.0", "Requires-Python: >=3.10", f"Requires-Dist: torch=={pinned}.*", "Requires-Dist: numpy",
        "Provides-Extra: transformers", "Requires-Dist: transformers>=5; extra == 'transformers'",
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join(head) + "\n\n" + (ROOT / "README.md").read_text("utf-8")


def tag(files):
    """py3-none where no extension is bound to one Python: the ops know none of it."""
    bound = any(".cpython-" in name for name in files)
    python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    return (f"{python}-{python}-" if bound else "py3-none-") + sysconfig.get_platform().replace("-", "_").replace(".", "_")


class Wheel:
    """A wheel being written: files with their hashes, RECORD last."""

    def __init__(self, folder, extensions):
        self.tag = tag(path.name for path in extensions.iterdir())
        self.name = f"gatewright-{VERSION}-{self.tag}.whl"
        self.info = f"gatewright-{VERSION}.dist-info"
        self.zip = zipfile.ZipFile(pathlib.Path(folder) / self.name, "w", zipfile.ZIP_DEFLATED)
        self.record = []

    def add(self, name, data):
        data = data.encode() if isinstance(data, str) else data
        entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
        entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
        self.zip.writestr(entry, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.record.append(f"{name},sha256={digest},{len(data)}")

    def close(self):
        self.add(f"{self.info}/METADATA", metadata())
        self.add(f"{self.info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: gatewright\nRoot-Is-Purelib: false\nTag: {self.tag}\n")
        self.add(f"{self.info}/licenses/LICENSE", (ROOT / "LICENSE").read_bytes())
        self.zip.writestr(f"{self.info}/RECORD", "\n".join([*self.record, f"{self.info}/RECORD,,"]) + "\n")
        self.zip.close()
        return self.name


def package_files():
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not built(path.name):
            yield path


# What PEP 517 and PEP 660 ask for.
def get_requires_for_build_wheel(config_settings=None):
    find_torch()
    return ["pybind11>=2.11"] if (ROOT / "python" / "likelihood.cmake").is_file() else []


get_requires_for_build_editable = get_requires_for_build_wheel


def get_requires_for_build_sdist(config_settings=None):
    return []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    stage = BUILD / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    build_extensions(stage)
    wheel = Wheel(wheel_directory, stage)
    for path in package_files():
        wheel.add(f"gatewright/{path.relative_to(PACKAGE).as_posix()}", path.read_bytes())
    for path in sorted(stage.iterdir()):
        wheel.add(f"gatewright/{path.name}", path.read_bytes())
    return wheel.close()


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    build_extensions(PACKAGE)
    wheel = Wheel(wheel_directory, PACKAGE)
    wheel.add("gatewright.pth", f"{PACKAGE.parent}\n")
    return wheel.close()


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = pathlib.Path(metadata_directory) / f"gatewright-{VERSION}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(metadata(), "utf-8")
    return folder.name


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def engine_files():
    """Sources of the floors that the extensions compile, those that python/*.cmake name, and all that they include."""
    engine = ROOT / "gatewright"
    kinds = (".cpp", ".cu", ".cmake")
    wanted = [f for floor in FLOORS for f in (engine / floor).rglob("*") if f.suffix in kinds]
    wanted += (ROOT / "python" / "csrc").rglob("*.cpp")
    for file in ("CMakeLists.txt", "likelihood.cmake"):
        text = (ROOT / "python" / file).read_text("utf-8")
        wanted += (ROOT / name for name in re.findall(r"gatewright/\w+/\w+\.cpp", text))
        listed = re.search(r"tensorless ([^)]+)\)", text)
        wanted += (engine / f"{name}.cpp" for name in (listed[1].split() if listed else ()))
    found = set()
    while wanted:
        file = wanted.pop()
        if file not in found:
            found.add(file)
            text = file.read_text("utf-8")
            for name in re.findall(r'^\s*#\s*include "([^"]+)"', text, re.M):
                wanted += (f for f in (ROOT / name, file.parent / name) if f.is_file())
    return sorted(file for file in found if file.is_relative_to(engine))


def sdist_files():
    """Every file of the source distribution, by its path in this folder."""
    for part in map(ROOT.joinpath, SDIST):
        for path in sorted(part.rglob("*")) if part.is_dir() else [part]:
            if path.is_file() and "__pycache__" not in path.parts and not built(path.name):
                yield path
    yield from engine_files()


def build_sdist(sdist_directory, config_settings=None):
    name = f"gatewright-{VERSION}"

    def plain(entry):
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(pathlib.Path(sdist_directory) / f"{name}.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for path in sdist_files():
            archive.add(path, f"{name}/{path.relative_to(ROOT).as_posix()}", filter=plain)
        head = f"Metadata-Version: 2.1\nName: gatewright\nVersion: {VERSION}\n"
        info = tarfile.TarInfo(f"{name}/PKG-INFO")
        info.size = len(head)
        archive.addfile(info, io.BytesIO(head.encode()))
    return f"{name}.tar.gz"
