#!/usr/bin/env python3
"""Writes texts of several kinds out of files of Debian's packages on this machine into a folder, for GATEWRIGHT_DATA.

    tools/fetch_texts.py ~/gatewright-data      cpp.txt, python.txt, perl.txt, cmake.txt, manual.txt, legal.txt; changes.txt

Each is one kind of text, of at most --most characters in printable ASCII: headers of C++, modules of Python, of Perl and of CMake,
CMake's manual, licences, and changes of packages (the one that recipes keep from their routers). Other versions of the packages give
other texts: no fixed benchmark. Needs libstdc++-dev, python3, perl, cmake and what any Debian machine has.
"""
import argparse
import gzip
import hashlib
import os
import pathlib
import sys

# name: (patterns of files below /, characters of one file at most)
KINDS = {
    "cpp": (["usr/include/c++/*/bits/*.h"], 20000),
    "python": (["usr/lib/python3.*/*.py"], 20000),
    "perl": (["usr/share/perl/5.*/**/*.pm"], 20000),
    "cmake": (["usr/share/cmake*/Modules/*.cmake"], 20000),
    "manual": (["usr/share/cmake*/Help/manual/*.rst", "usr/share/cmake*/Help/command/*.rst"], 20000),
    "legal": (["usr/share/common-licenses/*", "usr/share/doc/*/copyright"], 8000),
    "changes": (["usr/share/doc/*/changelog.Debian.gz", "usr/share/doc/*/changelog.gz"], 4000),
}


def plain(path):
    raw = path.read_bytes()
    if path.suffix == ".gz":
        raw = gzip.decompress(raw)
    text = raw.decode("utf-8", "replace")
    return "".join(c if 32 <= ord(c) <= 126 or c in "\n\t" else "?" for c in text)


def collected(root, patterns, each, most):
    """Beginnings of files in an order that has nothing to do with their names, no two of equal beginnings."""
    paths = sorted(p for pattern in patterns for p in root.glob(pattern) if p.is_file())
    paths.sort(key=lambda p: hashlib.sha256(str(p.relative_to(root)).encode()).hexdigest())
    pieces, size, seen = [], 0, set()
    for path in paths:
        text = plain(path)[:each]
        begin = text[:200]
        if size >= most or len(text) < 400 or begin in seen:
            continue
        seen.add(begin)
        pieces.append(text)
        size += len(text)
    return "".join(pieces)[:most]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--most", type=int, default=300000, help="characters of each text")
    parser.add_argument("--root", default="/", help="where the packages are installed or unpacked")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    short = 0
    for name, (patterns, each) in KINDS.items():
        text = collected(pathlib.Path(options.root), patterns, each, options.most)
        path = os.path.join(options.folder, name + ".txt")
        with open(path + ".part", "w", encoding="ascii") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(path + ".part", path)
        print(path, len(text), "characters")
        if len(text) < options.most // 2:
            print(f"expected {options.most} characters, got fewer: install the package with", patterns[0], file=sys.stderr)
            short = 1
    return short


if __name__ == "__main__":
    sys.exit(main())
