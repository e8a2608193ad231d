#!/usr/bin/env python3
"""Makes a run directory of a checkpoint that the published code of AdvMoE wrote (arXiv 2308.10110).

    tools/convert_advmoe.py model_best.pth.tar runs/published
    gatewright attack runs/published --with joint --with pgd --with per_pathway --beside published

The program itself reads no pickles. This script reads one with torch.load(weights_only=True), which runs no code of the
file, and takes from it the tensors of ResNet-18 (resnet18_cifar_moe) and its router; optimizer states stay behind. Sizes
are read off the tensors. docs/robust-moe.md has the names. Needs PyTorch 2.0 or later.
"""
import argparse
import importlib.util
import json
import os
import re
import struct
import sys

import torch


def beside(name):
    """A module of the Python package, taken from its file: the package itself need not be installed, and its folder must
    not enter the search path, where its transformers.py would stand before the library of that name."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python", "gatewright")
    spec = importlib.util.spec_from_file_location(name, os.path.join(folder, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


crc32c = beside("_crc32c").crc32c
NORM = {"weight": "norm_weight", "bias": "norm_bias", "running_mean": "running_mean", "running_var": "running_var"}
STAGES, BLOCKS, ROUTER_STAGES, ROUTER_BLOCKS = 4, 2, 3, 3


class Foreign(Exception):
    """The file is not what this script converts."""


def layers(stages, blocks, prefix, inner):
    """Published name of each convolution, of its norm, and our name of both. inner: what ours has before "weight"."""
    yield "conv1", "bn1", f"{prefix}stem.{inner}"
    for stage in range(1, stages + 1):
        for block in range(blocks):
            theirs, ours = f"layer{stage}.{block}.", f"{prefix}stage{stage}_{block + 1}."
            for i in (1, 2):
                yield f"{theirs}conv{i}", f"{theirs}bn{i}", f"{ours}conv{i}.{inner}"
            yield f"{theirs}shortcut.0", f"{theirs}shortcut.1", f"{ours}shortcut.{inner}"


def renamed(state, stages, blocks, prefix, inner, head, our_head):
    """The tensors under our names. Raises Foreign, naming what is missing or left over."""
    names = {}
    for conv, norm, ours in layers(stages, blocks, prefix, inner):
        if ".shortcut." in ours and f"{conv}.weight" not in state:
            continue  # only where the width or the size changes
        names[f"{conv}.weight"] = f"{ours}weight"
        names.update({f"{norm}.{theirs}": f"{ours}{own}" for theirs, own in NORM.items()})
    names.update({f"{head}.{kind}": our_head(kind) for kind in ("weight", "bias")})
    known = {name for name in state if not name.endswith("num_batches_tracked")}
    missing, unknown = sorted(set(names) - known), sorted(known - set(names))
    if missing or unknown:
        raise Foreign(
            f"expected the tensors of a ResNet-{18 if stages == STAGES else 20}, got others; missing: "
            f"{', '.join(missing[:5]) or 'none'}; unexpected: {', '.join(unknown[:5]) or 'none'}"
        )
    return {ours: state[theirs].detach().to(torch.float32).contiguous() for theirs, ours in names.items()}


def read(path):
    """state_dict of the network without the router that every routed layer repeats, and that of the router."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(saved, dict) or not {"state_dict", "router"} <= set(saved):
        raise Foreign('expected a checkpoint with "state_dict" and "router", got another file')
    arch = saved.get("arch", "resnet18_cifar_moe")
    if arch != "resnet18_cifar_moe":
        raise Foreign(f'expected arch "resnet18_cifar_moe", got "{arch}"; other backbones are not converted')
    plain = {re.sub(r"^module\.", "", name): tensor for name, tensor in saved["state_dict"].items()}
    if any(name.startswith("normalize.") for name in plain):
        raise Foreign("expected a network on pixels in [0, 1], got one that normalises its input")
    network = {name: tensor for name, tensor in plain.items() if not re.search(r"(^|\.)router\.", name)}
    return network, {re.sub(r"^module\.", "", name): tensor for name, tensor in saved["router"].items()}


def network_options(network, router):
    """What gatewright builds the same network from. Raises Foreign for widths that no ratio gives."""
    width, experts = network["conv1.weight"].shape[0], router["fc.weight"].shape[0]
    narrow = [network[f"layer{s}.0.conv1.weight"].shape[0] / experts for s in range(1, STAGES + 1)]
    ratio = narrow[0] / width
    if narrow != [int(ratio * (width << s)) for s in range(STAGES)]:
        raise Foreign(f"expected stages of ratio * {width} * 2^s channels for {experts} experts, got {narrow}")
    gate = {"part": "cnn", "arch": "resnet20", "width": router["conv1.weight"].shape[0]}
    return {
        "backbone": "resnet18",
        "backbone_options": {"width": width},
        "experts": experts,
        "ratio": ratio,
        "gate": gate,
    }


def checkpoint(tensors, config):
    """The bytes of a checkpoint (gatewright/train/checkpoint.h): safetensors, with a checksum over all that it says."""
    tensors = dict(sorted((f"model/{name}", tensor) for name, tensor in tensors.items()))
    metadata = {
        "config": json.dumps(config),
        "format": "gatewright-checkpoint-2",
        "kept": "null",
        "progress": json.dumps({"epoch": 0, "batch": 0, "step": 0, "best": -1e300}),
    }
    summed, header, end = [], {}, 0
    for name, tensor in tensors.items():
        raw = tensor.numpy().tobytes()
        shape = ", ".join(map(str, tensor.shape))
        summed += [f"{name} [{shape}] of Float".encode(), raw]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [end, end + len(raw)]}
        end += len(raw)
    summed += [f"{key}={value}\n".encode() for key, value in sorted(metadata.items())]
    metadata["crc32c"] = f"{crc32c(b''.join(summed)):08x}"
    text = json.dumps({"__metadata__": metadata, **header}).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(t.numpy().tobytes() for t in tensors.values())


def write(path, content):
    """To a temporary name first, so that a file that is there is whole."""
    with open(path + ".part", "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    os.replace(path + ".part", path)


def convert(path):
    """(checkpoint, recipe) as bytes. Raises Foreign."""
    network, router = read(path)
    tensors = renamed(network, STAGES, BLOCKS, "backbone.", "conv.", "linear", lambda kind: f"backbone.head.{kind}")
    tensors |= renamed(router, ROUTER_STAGES, ROUTER_BLOCKS, "router.", "", "fc", lambda kind: f"router.head_{kind}")
    config = {
        "name": "advmoe",
        "arm": "adv_moe",
        "data": {"part": "cifar100" if network["linear.weight"].shape[0] == 100 else "cifar10"},
        "task": {"part": "image_classification", "epsilon": 8 / 255},
        "network": network_options(network, router),
        "objective": {"part": "adv_moe"},
    }
    return checkpoint(tensors, config), json.dumps(config, indent=2).encode() + b"\n"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="checkpoint.pth.tar or model_best.pth.tar of the published code")
    parser.add_argument("out", help="new run directory")
    options = parser.parse_args(arguments)
    try:
        if os.path.exists(options.out):
            raise Foreign(f"expected a new directory, got {options.out}, which is there")
        weights, recipe = convert(options.checkpoint)
        os.makedirs(options.out)
        write(os.path.join(options.out, "best.safetensors"), weights)
        write(os.path.join(options.out, "recipe.json"), recipe)
    except Exception as error:  # torch.load has errors of many kinds for what is no checkpoint
        print(f"convert_advmoe: {options.checkpoint}: {error}", file=sys.stderr)
        return 2
    print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
