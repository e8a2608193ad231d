#!/usr/bin/env python3
"""Refuses includes that point up, parts that include parts, and catalogue files that do not register themselves.

Usage: tools/check_floors.py [ROOT]      exit code 0: the tree stands, 1: problems (one per line), 2: no such tree
"""
import pathlib
import re
import sys

from floors import FLOORS, HOME, INCLUDE, REGISTER, SUFFIXES, TOP, catalogue_folders, floor_of, is_part, read_lines, report, sources

# Headers for source files of the tree, which are not installed (cmake/install.cmake), may bring these libraries; others may not.
OWN_LIBRARY = re.compile(r'^\s*#\s*include\s*(<(fmt|nlohmann)/|<(pcre2|utf8proc)\.h>|"gatewright/base/check\.h")')
NOT_INSTALLED = ("gatewright/base/check.h", "gatewright/runs/document_reader.h")
TENSOR_HEADER = re.compile(r"^\s*#\s*include\s*<(ATen|c10|torch)/")


def included_problem(root, path, name):
    """What is wrong with `#include "name"` in `path`, or None."""
    floor, target = floor_of(path), pathlib.PurePosixPath(name)
    if floor not in FLOORS and floor not in TOP:
        return f"lies on no floor; the floors are folders of {HOME}/: {', '.join(FLOORS)}"
    if not (root / target).is_file():
        return f'includes "{name}", which is no file of the repository; includes are repository paths ("{HOME}/base/error.h")'
    if floor in TOP or floor_of(target) == floor:
        return None
    if floor_of(target) not in FLOORS:
        return f'includes "{name}", which is on no floor'
    if floor_of(target) not in FLOORS[floor]:
        return f'floor {floor} may not include floor {floor_of(target)} ("{name}"); it may include: {", ".join(FLOORS[floor]) or "nothing"}'
    return None


def include_problems(root, path, lines, folders):
    for number, line in enumerate(lines, 1):
        if floor_of(path) in ("base", "kernels", "text") and TENSOR_HEADER.match(line):
            yield f"{path}:{number}: floor {floor_of(path)} knows no tensors: {line.strip()}"
        if path.suffix == ".h" and floor_of(path) in FLOORS and str(path) not in NOT_INSTALLED and OWN_LIBRARY.match(line):
            yield f"{path}:{number}: an installed header brings neither fmt nor nlohmann, nor PCRE2, nor utf8proc: {line.strip()}; include it in the source file"
        found = INCLUDE.match(line)
        if not found:
            continue
        problem = included_problem(root, path, found[1])
        if problem:
            yield f"{path}:{number}: {problem}"
        if is_part(lines) and pathlib.Path(found[1]).parent in folders:
            yield f'{path}:{number}: a part includes another part ("{found[1]}"); shared code goes down a floor'


def catalogue_problems(root, folder):
    interfaces = set()
    for path in sorted((root / folder).iterdir()):
        name = path.relative_to(root)
        if path.is_dir() or path.suffix not in SUFFIXES:
            continue
        if path.suffix != ".cpp":
            yield f"{name}: only parts live in a catalogue folder; shared code goes to {folder.parent}/ or down a floor"
            continue
        lines = [line for line in read_lines(root, name) if line.strip()]
        last = REGISTER.match(lines[-1]) if lines else None
        if not last:
            yield f"{name}: a catalogue file ends in GW_REGISTER(gw::Interface, Part); on one line"
        else:
            interfaces.add(last[1])
        if sum(line.startswith("GW_REGISTER(") for line in lines) > 1:
            yield f"{name}: one file registers one part"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", path.stem):
            yield f"{name}: a part's name is its file's stem, in snake_case"
    if len(interfaces) > 1:
        yield f"{folder}: one catalogue holds one interface, found {', '.join(sorted(interfaces))}"


def table_problems(root):
    """CMakeLists.txt builds the floors in this table's order: the tests link a floor with those below it."""
    found = re.search(r"set\(GW_FLOORS ([a-z ]+)\)", (root / "CMakeLists.txt").read_text(encoding="utf-8"))
    if not found or found[1].split() != list(FLOORS):
        yield f"CMakeLists.txt: expected set(GW_FLOORS {' '.join(FLOORS)}), as in tools/floors.py"


def check(root):
    root = pathlib.Path(root)
    folders = catalogue_folders(root)
    problems = list(table_problems(root))
    for path in sources(root):
        problems += include_problems(root, path, read_lines(root, path), folders)
    for folder in sorted(folders):
        problems += catalogue_problems(root, folder)
    return problems


def main(arguments):
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).resolve().parent.parent)
    if not (root / "CMakeLists.txt").is_file():
        print(f"check_floors: {root} is no source tree", file=sys.stderr)
        return 2
    problems = check(root)
    return report(f"check_floors: {len(list(sources(root)))} files", problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
