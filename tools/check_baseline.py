#!/usr/bin/env python3
"""Refuses instructions in the product's objects that an old x86-64 processor does not have, outside the kernel levels that are chosen at run time.

Two ways lead to an illegal instruction: a file compiled for a level that is not asked for first (its registers tell: ymm, zmm, tmm), and a level's
file with an inline function of external linkage, which the linker may take in place of the plain copy of another file.

Usage: tools/check_baseline.py BUILD      exit code 0: sound, 1: problems (one per line), 2: no build with compile_commands.json there
"""
import json
import pathlib
import re
import subprocess
import sys

from floors import report

LEVEL = re.compile(r"(?<!\S)-m(avx|amx|fma)")
WIDE = re.compile(r"%(ymm|zmm|tmm)\d")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
EXTERNAL_INLINE = re.compile(r"^[0-9a-f]+ [WuV] (\S+)$", re.MULTILINE)


def objects(build):
    """(object, source, whether it is a level) of the product's floors that have been built."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        found = re.search(r"(?<!\S)-o (\S+)", entry["command"])
        path = pathlib.Path(entry["directory"]) / found[1] if found else None
        if path is not None and re.match(r"CMakeFiles/gw_\w+\.dir/.*\.(cpp|cxx)\.o$", found[1]) and path.is_file():
            yield path, pathlib.Path(entry["file"]), bool(LEVEL.search(entry["command"]))


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wide_functions(path):
    function, found = "?", []
    for line in output("objdump", "-d", "--no-show-raw-insn", str(path)).splitlines():
        start = FUNCTION.match(line)
        if start:
            function = start[1]
        elif WIDE.search(line) and (not found or found[-1] != function):
            found.append(function)
    return found


def check(build):
    problems, counts = [], [0, 0]
    for path, source, level in objects(build):
        counts[level] += 1
        if level:
            problems += [f"{source}: a level's file has the external inline function {name}; make it static or put it in the unnamed namespace"
                         for name in EXTERNAL_INLINE.findall(output("nm", "--defined-only", str(path)))]
        else:
            problems += [f"{source}: {name} uses registers wider than the baseline's; compile it as a level (gatewright/kernels/levels.cmake)"
                         for name in wide_functions(path)]
    if not all(counts):
        problems.append(f"expected objects of the baseline and of levels, found {counts[0]} and {counts[1]}")
    return problems, counts


def main(arguments):
    build = pathlib.Path(arguments[0]) if arguments else None
    if build is None or not (build / "compile_commands.json").is_file():
        print(__doc__, file=sys.stderr)
        return 2
    problems, counts = check(build)
    return report(f"check_baseline: {counts[0]} objects of the baseline, {counts[1]} of levels", problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
