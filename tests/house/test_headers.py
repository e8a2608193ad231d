#!/usr/bin/env python3
"""Compiles every installed header in a translation unit of its own, without the precompiled header: each brings what it needs.

Usage: tests/house/test_headers.py BUILD [HEADER…]     exit code 0: sound, 1: problems

The flags are those of the build. A header is compiled again only when it, a header of this tree that it includes, or a flag has changed:
what was found good is remembered by a fingerprint in BUILD/headers.txt, so that only the first run takes minutes.
"""
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BETWEEN = ("gatewright/ops/thread_pool.h", "gatewright/ops/moe_ffn_call.h")
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def headers():
    for path in sorted((ROOT / "gatewright").rglob("*.h")):
        name = path.relative_to(ROOT).as_posix()
        # The headers of kernels are for ops alone. What GPU kernels are made of is no header for a host compiler.
        if not name.startswith("gatewright/kernels/") and "cuda" not in name and name not in BETWEEN:
            yield name


def flags_of(build):
    """Compiler and flags of a source of the floor `report`, which sees all floors below."""
    commands = json.loads((build / "compile_commands.json").read_text())
    words = shlex.split(next(c["command"] for c in commands if "gw_report.dir/" in c["command"]))
    kept, skip = [], False
    for i, word in enumerate(words):
        if skip or word in ("-include", "-o", "-c", "-Winvalid-pch") or word.endswith("cache"):
            skip = word in ("-include", "-o", "-c") and not skip
            continue
        kept.append(word)
    compiler = next(i for i, word in enumerate(kept) if re.search(r"(c\+\+|g\+\+|clang\+\+)[-0-9.]*$", word))
    # A precompiled header left out needs no optimiser either: half of the time.
    return [word for word in kept[compiler:] if word != "-O2"] + ["-O0", "-fsyntax-only", "-x", "c++"]


@functools.lru_cache(maxsize=None)
def text_of(name):
    return (ROOT / name).read_text()


def reached(name):
    seen, todo = set(), [name]
    while todo:
        one = todo.pop()
        if one in seen or not (ROOT / one).exists():
            continue
        seen.add(one)
        todo += INCLUDE.findall(text_of(one))
    return sorted(seen)


def fingerprint(name, flags):
    digest = hashlib.sha256(" ".join(flags).encode())
    for one in reached(name):
        digest.update(one.encode() + text_of(one).encode())
    return digest.hexdigest()


def compile_alone(name, flags):
    done = subprocess.run(flags + ["-"], input=f'#include "{name}"\n', capture_output=True, text=True, cwd=ROOT, check=False)
    return name, done.returncode, done.stderr


def main(arguments):
    build = pathlib.Path(arguments[0]).resolve()
    flags, memory = flags_of(build), build / "headers.txt"
    wanted = arguments[1:] or list(headers())
    known = set(memory.read_text().split()) if memory.exists() else set()
    marks = {name: fingerprint(name, flags) for name in wanted}
    todo = [name for name in wanted if marks[name] not in known]
    problems = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for name, code, text in pool.map(lambda one: compile_alone(one, flags), todo):
            if code == 0:
                known.add(marks[name])
                continue
            problems += 1
            print(f"{name} does not compile on its own:\n" + "\n".join(text.splitlines()[:6]))
            known.discard(marks[name])
    memory.write_text("\n".join(sorted(known)) + "\n")
    print(f"test_headers: {len(wanted)} headers, {len(todo)} compiled, {problems} problem(s)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
