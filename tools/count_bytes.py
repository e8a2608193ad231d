#!/usr/bin/env python3
"""Bits for each byte of the test that counting alone needs: the marks of recipes/bytes.toml.

Splits the files as data set "bytes" does with context 64 and test_share 0.1, without the windows: the last tenth is the test.
One byte: add-one counts. Three bytes: 0.8 of what followed the two bytes before, 0.15 of what followed the last one, 0.05 of the first.
    python3 tools/count_bytes.py [file …]
"""
import collections
import math
import pathlib
import sys

DATA = pathlib.Path(__file__).resolve().parent.parent / "examples" / "data"


def main():
    texts = [pathlib.Path(p).read_bytes() for p in sys.argv[1:] or [DATA / "constitution.txt", DATA / "declaration.txt"]]
    train = b"".join(text[: int(len(text) * 0.9)] for text in texts)
    test = b"".join(text[int(len(text) * 0.9) :] for text in texts)
    one = collections.Counter(train)
    two = collections.Counter(zip(train, train[1:]))
    three = collections.Counter(zip(train, train[1:], train[2:]))

    def share(a, b, c):
        alone = (one[c] + 1) / (len(train) + 256)
        return 0.8 * three[(a, b, c)] / max(two[(a, b)], 1) + 0.15 * two[(b, c)] / max(one[b], 1) + 0.05 * alone

    single = sum(-math.log2((one[c] + 1) / (len(train) + 256)) for c in test) / len(test)
    triple = sum(-math.log2(share(a, b, c)) for a, b, c in zip(test, test[1:], test[2:])) / (len(test) - 2)
    print(f"one byte: {single:.2f} bits; three bytes: {triple:.2f} bits")


if __name__ == "__main__":
    main()
