#!/usr/bin/env python3
"""Writes tests/models/golden/zoo_counts.json: multiply-adds and parameters of the zoo, by closed formulas over stages.

Stated from the papers' tables, with no knowledge of the C++ code. Multiply-adds: convolutions and matrix products of one image.
`weights`: convolutions and matrix products with the biases of the latter; `norms`: scale and shift of the batch norms.
Run: python3 tests/models/make_zoo_golden.py
"""
import json
import pathlib

CLASSES = 10
SHAPES = [(3, 32, 32, 1, 1.0), (3, 32, 32, 1, 0.5), (3, 32, 32, 2, 0.5), (3, 32, 32, 4, 0.25), (1, 28, 28, 2, 0.5), (3, 64, 64, 2, 0.5),
          (3, 40, 24, 4, 0.25)]


class Tally:
    def __init__(self):
        self.macs = self.weights = self.norms = 0

    def conv(self, area, size, experts=1):
        """`size`: weights of one expert; the map has `area` pixels."""
        self.macs += area * size
        self.weights += experts * size

    def fully(self, width, out):
        self.macs += width * out
        self.weights += (width + 1) * out


def halved(side, times, ceil):
    for _ in range(times):
        side = (side + 1) // 2 if ceil else side // 2
    return side


def areas(h, w, count, ceil=True):
    return [halved(h, i, ceil) * halved(w, i, ceil) for i in range(count)]


def router(c, h, w, experts):  # ResNet-20, shortcuts without parameters
    t, a = Tally(), areas(h, w, 3)
    t.conv(a[0], 9 * c * 16 + 6 * 9 * 16 * 16)
    t.conv(a[1], 9 * 16 * 32 + 5 * 9 * 32 * 32)
    t.conv(a[2], 9 * 32 * 64 + 5 * 9 * 64 * 64)
    t.fully(64, experts)
    t.norms = 2 * (7 * 16 + 6 * 32 + 6 * 64)
    return t


def resnet18(c, h, w, experts, ratio):
    t, a = Tally(), areas(h, w, 4)
    t.conv(a[0], 9 * c * 64)
    t.norms = 2 * 64
    before = 64
    for stage in range(4):
        width = int(ratio * 64 * 2**stage)
        t.conv(a[stage], 9 * before * width + 3 * 9 * width * width, experts)
        projected = before != width or stage > 0
        t.conv(a[stage], before * width if projected else 0)
        t.norms += 2 * width * (5 if projected else 4)
        before = width
    t.fully(before, CLASSES)
    return t


def wrn28_10(c, h, w, experts, ratio):
    t, a, n = Tally(), areas(h, w, 3), (28 - 4) // 6
    before = int(ratio * 16)
    t.conv(a[0], 9 * c * before)
    for stage in range(3):
        width = int(ratio * 160 * 2**stage)
        t.conv(a[stage], 10 * before * width + (2 * n - 1) * 9 * width * width, experts)
        t.norms += 2 * (before + (2 * n - 1) * width)
        before = width
    t.norms += 2 * before
    t.fully(before, CLASSES)
    return t


def vgg16_bn(c, h, w, experts, ratio):
    t, a = Tally(), areas(h, w, 5)
    b = [int(ratio * 64 * f) for f in (1, 2, 4, 8, 8)]
    t.conv(a[0], 9 * c * b[0])
    t.conv(a[0], 9 * b[0] ** 2, experts)
    t.conv(a[1], 9 * (b[0] * b[1] + b[1] ** 2), experts)
    t.conv(a[2], 9 * (b[1] * b[2] + 2 * b[2] ** 2), experts)
    t.conv(a[3], 9 * (b[2] * b[3] + 2 * b[3] ** 2), experts)
    t.conv(a[4], 27 * b[4] ** 2, experts)
    t.norms = 2 * (2 * b[0] + 2 * b[1] + 3 * b[2] + 3 * b[3] + 3 * b[4])
    t.fully(4 * b[4], 256)
    t.fully(256, 256)
    t.fully(256, CLASSES)
    return t


def densenet_bc(c, h, w, experts, ratio):
    t, a, n, g = Tally(), areas(h, w, 3, ceil=False), 6, int(ratio * 12)
    width = 2 * g
    t.conv(a[0], 9 * c * width)
    for block in range(3):
        inputs = n * width + g * n * (n - 1) // 2  # channels that enter the block's bottlenecks, summed
        t.conv(a[block], 4 * g * inputs + n * 36 * g * g, experts)
        t.norms += 2 * (inputs + n * 4 * g)
        width += n * g
        t.norms += 2 * width
        if block < 2:
            t.conv(a[block], width * (width // 2))
            width //= 2
    t.fully(width, CLASSES)
    return t


def row(model, c, h, w, experts, ratio):
    t = model(c, h, w, experts, ratio)
    r = router(c, h, w, experts) if experts > 1 else Tally()
    return {"backbone": model.__name__, "channels": c, "height": h, "width": w, "experts": experts, "ratio": ratio, "backbone_macs": t.macs,
            "router_macs": r.macs, "weights": t.weights + r.weights, "norms": t.norms + r.norms}


rows = [row(model, *shape) for model in (densenet_bc, resnet18, vgg16_bn, wrn28_10) for shape in SHAPES]
text = "[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n"
(pathlib.Path(__file__).parent / "golden" / "zoo_counts.json").write_text(text)
