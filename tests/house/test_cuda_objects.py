#!/usr/bin/env python3
"""Compiles the CUDA levels (they are not part of the usual build) and looks at what came out: machine code and PTX for the right
architecture in every object, and no kernel that spills registers to memory.

Usage: tests/house/test_cuda_objects.py BUILD ARCH [NVCC [CUOBJDUMP]]     exit code 0: sound, 1: problems, 77: no nvcc, nothing was tested

Without cuobjdump it only compiles; spills are an error of the compiler then too (cmake/cuda.cmake).
"""
import pathlib
import re
import subprocess
import sys


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def kernels(cuobjdump, path):
    """(registers, bytes of stack and local memory, name) of every kernel."""
    _, text = run(cuobjdump, "--dump-resource-usage", str(path))
    for name, registers, stack, local in re.findall(r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", text):
        yield int(registers), int(stack) + int(local), name


def problems_of(cuobjdump, path, arch):
    _, listed = run(cuobjdump, "-lelf", "-lptx", str(path))
    for kind in ("cubin", "ptx"):
        if not re.search(rf"\.sm_{arch}\.{kind}", listed):
            yield f"{path.name}: expected {kind} for sm_{arch}, got: {listed.strip() or 'nothing'}"
    for registers, spilled, name in kernels(cuobjdump, path):
        if spilled:
            yield f"{path.name}: {name} keeps {spilled} bytes of registers in memory ({registers} registers)"


def main(arguments):
    build, arch = pathlib.Path(arguments[0]), arguments[1]
    nvcc, cuobjdump = [pathlib.Path(path) if path and not path.endswith("NOTFOUND") else None for path in (arguments[2:] + ["", ""])[:2]]
    if nvcc is None:
        print("skipped: no nvcc; `CUDA=wheel tools/install_deps.sh` brings one")
        return 77
    code, text = run("cmake", "--build", str(build), "--target", "gw_cuda")
    if code != 0:
        print(text)
        return 1
    objects = sorted((build / "cuda").rglob("*.cu.o"))
    if not objects:
        print(f"expected objects under {build / 'cuda'}, found none")
        return 1
    if cuobjdump is None:
        print(f"{len(objects)} objects compiled for sm_{arch}; no cuobjdump: not looked into")
        return 0
    problems = [problem for path in objects for problem in problems_of(str(cuobjdump), path, arch)]
    found = [kernel for path in objects for kernel in kernels(str(cuobjdump), path)]
    if not found:
        problems.append("expected kernels in the objects, found none")
    print(*problems, sep="\n")
    print(f"{len(objects)} objects, {len(found)} kernels, at most {max((k[0] for k in found), default=0)} registers, {len(problems)} problem(s)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
