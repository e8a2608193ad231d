#!/usr/bin/env python3
"""Writes docs/routers.md from the registry: every gate, policy and balancer with formula, traits, options, source and recipes.

Usage: tools/make_router_docs.py GATEWRIGHT [ROOT]            writes the page
       tools/make_router_docs.py GATEWRIGHT [ROOT] --check    exit code 1 if the page differs from what would be written

Names, options, traits and sources are what `gatewright list --json` says; formulas are the docstring lines above each class.
"""
import re
import sys

import generated_page
from prose import filled

KINDS = {"gates": "Gates: who is wanted", "policies": "Policies: who is chosen", "balancers": "Balancers: what keeps the load even"}
LINE = re.compile(r"^/// (Math|Shapes|Grad|Balance[^:]*|Collapse[^:]*|Errors|Cost|Needs|Ties):\s*(.*)$")
SHOWN = ("Math", "Balance", "Collapse", "Needs")
SHARES = "relu"  # a policy whose options are the shared ones with their plain defaults
HEAD = """# Routers

<!-- Written by tools/make_router_docs.py; a test compares. Change the parts, then run it. -->

A router is a gate and a policy; a balancer keeps its load even. In a layer (`gw::Mixture`) any gate goes with any policy that wants as many
columns, on any bank. An image network sends every image down one pathway: it takes the policies that give each image exactly one row of weight 1,
and refuses the others when it is made. With `combine = "logits"` or `"probabilities"` it takes those whose weights sum to one as well, and averages
what an image's pathways answer. Balance losses go into its option `balancers` too:

    policy = {{ part = "top_k_softmax", k = 2 }}
    gate = {{ part = "cosine" }}
    balancers = ["switch_loss", "z_loss"]

{counts} Traits are promises that the conformance suite tests: *differentiable* (the weights carry a gradient to the scores), *straight-through*
(it is a chosen gradient, not the derivative of the values), *drops tokens* (a token may be left without an expert), *batch dependent*
(other tokens change a token's experts, so the answer depends on how a batch is cut), *order dependent* (so does the order of tokens),
*weights sum to one*, *choice by lead* (an expert chosen alone stays so while its score leads the others by as much); of a gate, *certified* (it bounds
how far its scores can move in a ball of images: [robust mixtures](robust-moe.md#a-router-that-proves-its-routes)). They are those of the default options; a capacity makes any policy batch dependent. What routers may look at beside
the tokens is in `gatewright/routing/inputs.h`.

Weights that are relative to a token's chosen experts (renormalised ones, pairs) are formed from those alone: an expert that a bias, overflow
or replay chose far below the best keeps its share in f32. A weight that is a probability over all experts is 0 in f32 where it lies below
the smallest number, 1.4e-45, that is from a gap of scores of 104.

"""


def docstring(path):
    """Title and labelled lines of the comment block that ends at the part's class."""
    lines = path.read_text(encoding="utf-8").splitlines()
    summary = next(i for i, line in enumerate(lines) if "kSummary" in line)  # helper classes may stand before the part's
    start = max(i for i, line in enumerate(lines[:summary]) if line.startswith("class ") and ": public" in line)
    while lines[start - 1].startswith("///"):
        start -= 1
    labelled, label = {"": []}, ""
    for line in lines[start:]:
        if not line.startswith("///"):
            break
        found = LINE.match(line)
        if found:
            label = found[1]
            labelled[label] = [found[2]]
        elif re.match(r"^/// [A-Z][a-z]+:", line):
            label = None
        elif label is not None:
            labelled[label].append(line[3:].strip())
    return {key: " ".join(part for part in parts if part) for key, parts in labelled.items()}


def recipes_with(root, kind, name):
    pattern = re.compile(rf"\b(?:layer_)?(?:{kind[:-1] if kind != 'policies' else 'policy'})s?\b[^\n]*\"{name}\"")
    return [path.stem for path in sorted((root / "recipes").glob("*.toml")) if pattern.search(path.read_text(encoding="utf-8"))]


def anchor(kind, name):
    return f"{kind}-{name}"


def option_text(option):
    return "`" + option["name"] + " = " + (option["default"] or '""') + "`"


def options_text(part, shared):
    """Its own options, and of the shared ones those whose default is its own."""
    defaults = {option["name"]: option["default"] for option in shared}
    sharing = part["kind"] == "policies" and all(name in [o["name"] for o in part["options"]] for name in defaults)
    own = [o for o in part["options"] if not sharing or defaults.get(o["name"]) != o["default"]]
    words = [option_text(option) for option in own] + (["[the shared ones](#shared-options)"] if sharing else [])
    return ", ".join(words)


def shared_section(shared):
    yield "### Shared options\n\nEvery policy in which tokens choose takes these; a part's list names the ones with a default of its own.\n"
    yield "| option | default | |\n|---|---|---|"
    for option in shared:
        yield f"| `{option['name']}` | `{option['default']}` | {option['help']} ({option['range']}) |"
    yield ""


def family_section(root):
    """The table of gatewright/routing/families.cpp."""
    text = (root / "gatewright" / "routing" / "families.cpp").read_text(encoding="utf-8")
    rows = re.findall(r'\{"(\w+)",\s*R"\((.*?)\)",\s*(\d+),\s*(true|false),\s*R"\((.*?)\)",\s*(?:R"\((.*?)\)"|"\{\}"),\s*"(.*?)"\}', text, re.S)
    yield "### Model families\n\nPublished models as options: the router (`gw::family_policy`), or the whole layer with its experts and what runs beside them (`gw::family_mixture`). Weights of routers are held to 1e-12 against a transcription of the published formulas into PyTorch (`tests/routing/make_family_golden.py`), whole layers against the formulas of their experts (`tests/mixture/test_families.cpp`); the models themselves were not run. Where a checkpoint's tensors go is in [layers](layers.md#weights-of-published-models).\n"
    yield "| family | policy | experts | banks/mlp | beside the routed experts | source |\n|---|---|---|---|---|---|"
    for name, policy, experts, _, bank, beside, source in rows:
        yield f"| {name} | `{policy}` | {experts} | `{bank}` | {f'`{beside}`' if beside else ''} | {source} |"
    yield ""


def part_section(root, part, shared):
    doc = docstring(root / part["file"])
    yield f'<a id="{anchor(part["kind"], part["name"])}"></a>\n\n### {part["name"]}\n\n{doc[""] or part["summary"]}\n'
    for label, text in doc.items():
        if label.startswith(SHOWN):
            yield f"* **{label}:** {text}"
    if part["traits"]:
        yield f"* **Traits:** {', '.join(part['traits'])}"
    if part["source"]:
        yield f"* **Source:** {part['source']}"
    used = recipes_with(root, part["kind"], part["name"])
    if used:
        yield f"* **Recipes:** {', '.join(used)}"
    if part["options"]:
        yield f"* **Options:** {options_text(part, shared)}"
    yield ""


def page(root, parts):
    counts = ", ".join(f"{sum(part['kind'] == kind for part in parts)} {kind}" for kind in KINDS) + "."
    out = [HEAD.format(counts=counts)]
    shared = next(part["options"] for part in parts if part["name"] == SHARES)
    for kind, title in KINDS.items():
        mine = [part for part in parts if part["kind"] == kind]
        out.append(f"## {title}\n\n| | |\n|---|---|")
        out += [f"| [{part['name']}](#{anchor(kind, part['name'])}) | {part['summary']} |" for part in mine]
        out.append("")
        if kind == "policies":
            out += [*shared_section(shared), *family_section(root)]
        for part in mine:
            out += part_section(root, part, shared)
    return filled("\n".join(out).rstrip() + "\n")


def routers(root, listed):
    parts = [part for part in listed if part["kind"] in KINDS]
    return page(root, parts), len(parts)


if __name__ == "__main__":
    sys.exit(generated_page.run(sys.argv[1:], __doc__, "routers.md", [], routers))
