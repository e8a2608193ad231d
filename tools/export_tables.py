#!/usr/bin/env python3
"""Writes real tables from Debian's packages as CSV files, for recipes/gg_moe.toml, recipes/feamoe.toml and docs/tables.md.

Usage: tools/export_tables.py OUT [--root DIR]     then GATEWRIGHT_DATA=OUT gatewright check gg_moe --size small

The packages are r-cran-mlbench, r-cran-cardata and python3-sklearn: installed, or unpacked under DIR, which needs no root and none of what they
depend on:
  apt-get download r-cran-mlbench r-cran-cardata python3-sklearn && for p in *.deb; do dpkg-deb -x $p DIR; done
exit code 0: all tables written, 1: some are not there (named), 2: none is
"""
import argparse
import csv
import gzip
import lzma
import pathlib
import struct
import sys
import zlib

MLBENCH = "usr/lib/R/site-library/mlbench/data"
CARDATA = "usr/lib/R/site-library/carData/data"
SKLEARN = "usr/lib/python3/dist-packages/sklearn/datasets"
PAIRLIST, SYMBOL, TEXT, LOGICAL, INTEGER, REAL, TEXTS, LIST = 2, 1, 9, 10, 13, 14, 16, 19
REFERENCE, NIL = 255, 254
MISSING_INTEGER = -(2**31)
MISSING_REAL = struct.pack(">Q", 0x7FF00000000007A2)

# file of mlbench: (name of ours, rows, columns)
FROM_R = {
    "Shuttle": ("shuttle", 58000, 10),
    "LetterRecognition": ("letters", 20000, 17),
    "Satellite": ("satellite", 6435, 37),
    "Vowel": ("vowel", 990, 11),
    "Soybean": ("soybean", 683, 36),
    "PimaIndiansDiabetes2": ("pima", 768, 9),
    "Ozone": ("ozone", 366, 13),
}
# data frame of carData: (name of ours, rows, columns, a column to sort by)
FROM_DATABASE = {"Arrests": ("arrests", 5226, 8, "year")}
# folder of the test fixtures of OpenML: (name of ours, rows)
FROM_ARFF = {"id_40945": ("titanic", 1309), "id_3": ("chess", 3196)}


class Reader:
    """R's serialisation (XDR, versions 2 and 3) as far as data frames need it."""

    def __init__(self, data):
        assert data[:5] in (b"RDX2\n", b"RDX3\n") and data[5:7] == b"X\n", "expected an R data file in XDR"
        self.data, self.at, self.seen = data, 7, []
        version = self.integers(3)[0]
        if version == 3:
            length = self.integers(1)[0]  # of the name of the encoding
            self.at += length

    def integers(self, count):
        values = struct.unpack_from(f">{count}i", self.data, self.at)
        self.at += 4 * count
        return values

    def text(self):
        self.integers(1)
        length = self.integers(1)[0]
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "replace")

    def reals(self, count):
        raw = [self.data[self.at + 8 * i : self.at + 8 * i + 8] for i in range(count)]
        self.at += 8 * count
        return [None if r == MISSING_REAL else struct.unpack(">d", r)[0] for r in raw]

    def item(self):
        """(value, attributes)"""
        flags = self.integers(1)[0]
        kind, attributes = flags & 255, {}
        if kind == NIL:
            return None, attributes
        if kind == REFERENCE:
            return self.seen[(flags >> 8) - 1], attributes
        if kind == SYMBOL:
            self.seen.append(self.text())
            return self.seen[-1], attributes
        if kind == PAIRLIST:
            return self.pairs(flags), attributes
        if kind == TEXT:
            self.at -= 4
            return self.text(), attributes
        count = self.integers(1)[0]
        if kind in (INTEGER, LOGICAL):
            value = [None if v == MISSING_INTEGER else v for v in self.integers(count)]
        elif kind == REAL:
            value = self.reals(count)
        elif kind == TEXTS:
            value = [self.text() for _ in range(count)]
        elif kind == LIST:
            value = [self.item() for _ in range(count)]
        else:
            raise ValueError(f"R type {kind} at byte {self.at} is none of a data frame's")
        if flags & 0x200:
            attributes = self.item()[0]
        return value, attributes

    def pairs(self, flags):
        result = {}
        while True:
            if flags & 0x200:
                self.item()
            name = self.item()[0] if flags & 0x400 else ""
            result[name] = self.item()
            flags = self.integers(1)[0]
            if flags & 255 == NIL:
                return result


def frame(value):
    """(header, columns) of a data frame."""
    columns, attributes = value
    header, cells = attributes["names"][0], []
    for values, about in columns:
        levels = about["levels"][0] if "levels" in about else None
        cells.append([None if v is None else levels[v - 1] if levels else v for v in values])
    return header, cells


def number(value):
    return "" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)


def write(folder, name, header, rows):
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
    print(f"{name}: {len(rows)} rows of {len(header)} columns")


def export_r(root, folder):
    for file, (name, rows, columns) in FROM_R.items():
        path = root / MLBENCH / f"{file}.rda"
        if not path.is_file():
            yield name, path
            continue
        (_, value), *_ = Reader(lzma.decompress(path.read_bytes())).item()[0].items()
        header, cells = frame(value)
        got = (len(cells[0]), len(header))
        assert got == (rows, columns), f"{path}: expected {rows} rows of {columns} columns, got {got}; another version?"
        write(folder, name, header, [[number(v) for v in row] for row in zip(*cells)])


def export_database(root, folder):
    """Data frames of a package that R loads when they are asked for: an index, and pieces at its offsets."""
    index = root / CARDATA / "Rdata.rdx"
    if not index.is_file():
        for name, *_ in FROM_DATABASE.values():
            yield name, index
        return
    parts, about = Reader(b"RDX3\n" + gzip.decompress(index.read_bytes())).item()
    variables, names = parts[about["names"][0].index("variables")]
    pieces = index.with_suffix(".rdb").read_bytes()
    for key, (name, rows, columns, order) in FROM_DATABASE.items():
        at, length = variables[names["names"][0].index(key)][0]
        piece = zlib.decompress(pieces[at + 4 : at + length])  # the first four bytes are its length
        header, cells = frame(Reader(b"RDX3\n" + piece).item())
        got = (len(cells[0]), len(header))
        assert got == (rows, columns), f"{index}: expected {rows} rows of {columns} columns in {key}, got {got}; another version?"
        body = sorted(zip(*cells), key=lambda row: row[header.index(order)])
        write(folder, name, header, [[number(v) for v in row] for row in body])


def export_arff(root, folder):
    for fixture, (name, rows) in FROM_ARFF.items():
        found = sorted((root / SKLEARN / "tests/data/openml" / fixture).glob("data-*.arff.gz"))
        if not found:
            yield name, root / SKLEARN / "tests/data/openml" / fixture
            continue
        header, body = [], []
        text = gzip.decompress(found[0].read_bytes()).decode("utf-8")
        lines = iter(text.splitlines())
        for line in lines:
            if line.lower().startswith("@attribute"):
                header.append(line.split(None, 2)[1].strip("'\""))
            if line.lower().startswith("@data"):
                break
        for row in csv.reader((line for line in lines if line and not line.startswith("%")), quotechar="'" if name != "titanic" else '"', escapechar="\\"):
            body.append(["" if cell.strip() == "?" else cell.strip().strip("'") for cell in row])
        assert len(body) == rows and all(len(row) == len(header) for row in body), f"{found[0]}: expected {rows} rows of {len(header)} cells"
        write(folder, name, header, body)


def export_diabetes(root, folder):
    """442 patients, ten measurements, the progression of the disease a year later."""
    data = root / SKLEARN / "data"
    parts = [data / "diabetes_data_raw.csv.gz", data / "diabetes_target.csv.gz"]
    if not all(part.is_file() for part in parts):
        yield "diabetes", parts[0]
        return
    x, y = ([line.split() for line in gzip.decompress(part.read_bytes()).decode().splitlines()] for part in parts)
    header = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6", "progression"]
    write(folder, "diabetes", header, [[f"{float(v):.10g}" for v in [*a, *b]] for a, b in zip(x, y)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("/"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    missing = []
    for export in (export_r, export_database, export_arff, export_diabetes):
        missing += export(options.root, options.out)
    for name, path in missing:
        print(f"{name}: expected {path}, found none; apt-get install --no-install-recommends r-cran-mlbench r-cran-cardata python3-sklearn", file=sys.stderr)
    return 0 if not missing else 2 if len(missing) == len(FROM_R) + len(FROM_DATABASE) + len(FROM_ARFF) + 1 else 1


if __name__ == "__main__":
    sys.exit(main())
