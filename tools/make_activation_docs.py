#!/usr/bin/env python3
"""Writes docs/activations.md from the catalogue: every activation with formula, derivative, curves, parameters and source.

Usage: tools/make_activation_docs.py GATEWRIGHT [ROOT]            writes the page
       tools/make_activation_docs.py GATEWRIGHT [ROOT] --check    exit code 1 if the page differs from what would be written

Everything is what `gatewright list activations --json` says; the curves are drawn by the program from the functions themselves.
"""
import pathlib
import sys

import generated_page
from prose import filled

# Files of gatewright/kernels/activations/ in the order of the page.
FAMILIES = {
    "relu": "Rectifiers",
    "exponential": "A line and a bounded curve; smooth maxima",
    "squashing": "Into an interval",
    "self_gated": "x times a gate of x",
    "expanded": "Expanded gates",
    "learned": "Learned shapes",
    "periodic": "Sines",
    "searched": "Found by search",
    "mittag_leffler": "Mittag-Leffler",
}
HEAD = """# Activations

<!-- Written by tools/make_activation_docs.py; a test compares. Change the catalogue, then run it. -->

One catalogue of {count} activations serves every option that takes one: experts (`bank = {{ part = "mlp", activation = "golu" }}`), the small image network (`backbone = "small_cnn", backbone_options = {{ activation = "golu" }}`), gates
(`gates/dense_to_sparse`, `gates/modified_softmax`), fitted mixtures (`gatewright fit --activation softsign`), and programs
(`gw::ops::activation`, `gw::ops::ActivationFunction`). A name may carry parameters: `"leaky_relu(slope=0.2)"`. An unknown name is an error that
names the nearest one.

* **Learned** parameters are those that the paper trains. `banks/mlp` trains them, a set for each expert, from the values in the text;
  `learn_activation = false` holds them there. They are better kept out of weight decay: `no_decay = ["activation"]`. Gates and fitted mixtures hold
  all parameters constant.
* **Gated units** are `glu = true` in `banks/mlp`: f(x·Wg)·(x·W1). GLU is `sigmoid`, Bilinear `identity`, ReGLU `relu`, GEGLU `gelu`, SwiGLU `silu`,
  ATGLU `atlu`; the expanded gates of first order are `arctan_gate`, `gauss_gate`, `sigmoid_gate` (xATGLU, xGEGLU, xSwiGLU). Three matrices instead
  of two: compare at two thirds of the hidden width.
* **Compared** on bytes, a table and images, beside each paper's claim: [gated units side by side](lab/gated-units.md).
* **Kinks** are where the derivative jumps, at the default parameters; there the side of the smaller x is taken unless the formula says otherwise.
* **straight-through**: the backward pass uses the slope shown, which is not the derivative. **bounded**: values stay in an interval.
  **scalar**: its loops go value by value (sines and Mittag-Leffler call a library); all others are vectors at the levels avx2 and avx512 in f32 (f64 has the
  reference alone).
* Not here, because they are no functions of one number: CReLU, Maxout and GTU (they change the width or take two functions), RReLU (random
  in training), sparsemax (a vector).

Values, slopes and derivatives by parameters are tested against formulas written a second time, against differences, for NaN up to 1e9, and
in f32 against f64 within 1e-6 of the larger of 1, |x| and the value (`tests/kernels/test_activations.cpp`).

What it costs in the fused experts, f32: `identity`, `relu`, `relu_squared`, `sigmoid`, `tanh`, `silu`, `quick_gelu`, `gelu` and `gelu_tanh` are part of
the row loops; all others pass through rows of 64 values. {cost}

Curves go from x = −4 to 4; beside them the values of the lowest and the highest block.

"""
COST = """On one core of a Xeon with AVX-512 (gcc 12, rows of 64 values, processor time of the thread, value and slope together, other programs
running beside it, by a driver that is not in the repository: read them as ratios): rectifiers 0.2 to 0.4 ns a value, what has one exponential (`swish`, `xsilu`, `elu`, `softplus`) 0.8 to 2, `golu` 2.1,
`gelu` 1.1, `xatlu` 2.4, `mish` 1.4, `tanh_exp` 6, sines 5 (`sinlu` 14), `mittag_leffler_elu`
55 and the other two of that family 540."""


def table(parts):
    yield "| | formula | curve |\n|---|---|---|"
    for part in parts:
        yield f"| [{part['name']}](#{part['name']}) | {part['summary'].replace('|', chr(92) + '|')} | `{part['curve'].split(' ')[0]}` |"
    yield ""


def section(part):
    yield f'<a id="{part["name"]}"></a>\n\n### {part["name"]}\n'
    yield f"* **f(x)** = {part['summary']}"
    yield f"    `{part['curve']}`"
    yield f"* **f′(x)** = {part['derivative']}"
    yield f"    `{part['curve of the derivative']}`"
    if part["aliases"]:
        yield f"* **Also called** {', '.join(f'`{name}`' for name in part['aliases'].split(','))}"
    if part["options"]:
        words = [f"`{o['name']} = {o['default']}` ({o['range']}, {o['help']})" for o in part["options"]]
        yield f"* **Parameters:** {', '.join(words)}"
    if part["traits"]:
        yield f"* **Traits:** {', '.join(part['traits'])}"
    if part["source"]:
        yield f"* **Source:** {part['source']}"
    yield ""


def page(parts):
    out = [HEAD.format(count=len(parts), cost=COST)]
    stems = {pathlib.PurePosixPath(part["file"]).stem for part in parts}
    if stems != set(FAMILIES):
        raise SystemExit(f"make_activation_docs: families without a heading, or headings without one: {sorted(stems ^ set(FAMILIES))}")
    for stem, title in FAMILIES.items():
        mine = [part for part in parts if pathlib.PurePosixPath(part["file"]).stem == stem]
        out += [f"## {title}\n", *table(mine)]
        for part in mine:
            out += section(part)
    return filled("\n".join(out).rstrip() + "\n")


if __name__ == "__main__":
    sys.exit(generated_page.run(sys.argv[1:], __doc__, "activations.md", ["activations"],
                                lambda _, parts: (page(parts), len(parts))))
