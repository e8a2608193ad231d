#!/usr/bin/env python3
"""The environment in which the Python package is tested: a venv with torch and this package.

Usage: tools/python_env.py install FOLDER     makes or refreshes it, installs the package from these sources
       tools/python_env.py test FOLDER [pytest arguments]     77 and the reason if there is none

    GATEWRIGHT_PIP_TORCH   what pip is asked for, with options ("torch==2.13.0 --index-url …"
                           where the index's own torch would bring CUDA); default torch==2.13.0
"""

import os
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
TORCH = shlex.split(os.environ.get("GATEWRIGHT_PIP_TORCH", "torch==2.13.0"))
# What the tests use beside torch; none of it brings another torch, which the constraint would refuse.
TESTED_WITH = [
    "numpy",
    "pytest",
    "transformers>=5,<6",
    "peft",
    "safetensors",
    "scikit-learn",
    "pandas",
    "polars",
    "pybind11",
]


def run(*command, **options):
    return subprocess.run([str(part) for part in command], **options).returncode


def pip(folder, *arguments):
    return run(
        folder / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *arguments,
    )


def refuse(folder, reason):
    """Without torch there is nothing to test, which is no fault of these sources: `test` skips."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "why_not").write_text(reason + "\n", encoding="utf-8")
    print(f"python: {reason}", file=sys.stderr)
    return 0


def install(folder):
    (folder / "why_not").unlink(missing_ok=True)
    if sys.version_info < (3, 11):  # noqa: UP036
        return refuse(folder, f"expected Python 3.11 or newer (transformers 5), got {sys.version.split()[0]}")
    wanted = "\n".join([*TORCH, *TESTED_WITH, sys.executable])
    stamp = folder / "installed"
    if not stamp.is_file() or stamp.read_text("utf-8") != wanted:
        if run(sys.executable, "-m", "venv", folder) != 0:
            return refuse(folder, "expected `python3 -m venv` to work; apt-get install python3-venv")
        if pip(folder, *TORCH) != 0:
            return refuse(
                folder,
                f"pip could not install {' '.join(TORCH)} (its own message is above); is there a network?",
            )
        pinned = folder / "constraints.txt"
        version = "import importlib.metadata as m; print('torch==' + m.version('torch').split('+')[0])"
        with pinned.open("w", encoding="utf-8") as file:
            run(folder / "bin" / "python", "-c", version, stdout=file)
        if pip(folder, "--constraint", pinned, *TESTED_WITH) != 0:
            return 1
        stamp.write_text(wanted, encoding="utf-8")
    return pip(folder, "--no-deps", "--no-build-isolation", "--force-reinstall", ROOT)


def test(folder, arguments):
    why = folder / "why_not"
    if why.is_file() or not (folder / "installed").is_file():
        print(
            "skipped: "
            + (
                why.read_text("utf-8").strip()
                if why.is_file()
                else "run `make python` to install the environment"
            )
        )
        return 77
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "GATEWRIGHT_KERNELS")
    }
    return run(
        folder / "bin" / "python",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        *arguments,
        cwd=ROOT,
        env=environment,
    )


def main(arguments):
    if len(arguments) >= 2 and arguments[0] == "install":
        return install(pathlib.Path(arguments[1]).resolve())
    if len(arguments) >= 2 and arguments[0] == "test":
        return test(pathlib.Path(arguments[1]).resolve(), arguments[2:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
