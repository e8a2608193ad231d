#!/usr/bin/env python3
"""Our experts beside transformers' own on the same stacks: answers first, then times, as ratios of medians.

Usage: bench/experts.py [--rounds N]     shape S: 32 experts, 4 per token, D 1024, H 512

Says one line per case: our median, and how many times longer the others take.
"""

import argparse
import statistics
import time

import torch
from torch import nn

import gatewright.transformers as gt

EXPERTS, K, WIDTH, HIDDEN = 32, 4, 1024, 512


def make_layer(dtype):
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralExperts

    config = MixtralConfig(hidden_size=WIDTH, intermediate_size=HIDDEN, num_local_experts=EXPERTS)
    layer = MixtralExperts(config)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=WIDTH**-0.5)
    return layer.to(dtype)


def run(layer, way, x, index, weight, train):
    layer.config._experts_implementation = way
    if not train:
        with torch.inference_mode():
            return [layer(x, index, weight)]
    y = layer(x, index, weight)
    return [y, *torch.autograd.grad(y.sum(), [x, weight, *layer.parameters()])]


def check(layer, ways, arguments, train):
    """Answers first, on 48 tokens, in f32 and in the layer's type: ours must be as near to f32 as eager's."""
    x, index, weight = (t[:48].detach() for t in arguments)
    some = [x.requires_grad_(True), index, weight.requires_grad_(True)]
    dtype = x.dtype
    best = run(layer.float(), "eager", x.detach().float().requires_grad_(True), *some[1:], train)
    layer.to(dtype)
    errors = {}
    for way in ways:
        pairs = zip(run(layer, way, *some, train), best, strict=True)
        errors[way] = max(
            float((g.detach().float() - b.detach()).norm() / b.detach().norm()) for g, b in pairs
        )
    if errors["gatewright"] > 1.5 * errors["eager"] + 1e-5:
        raise SystemExit(f"answers differ: {errors}")
    return errors


def case(dtype, tokens, train, rounds):
    torch.manual_seed(0)
    layer = make_layer(dtype)
    x = torch.randn(tokens, WIDTH, dtype=dtype, requires_grad=True)
    index = torch.stack([torch.randperm(EXPERTS)[:K] for _ in range(tokens)])
    weight = torch.rand(tokens, K, requires_grad=True)
    ways = ["gatewright", "grouped_mm", "eager"]
    errors = check(layer, ways, (x, index, weight), train)
    times = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            start = time.perf_counter()
            run(layer, way, x, index, weight, train)
            times[way].append(time.perf_counter() - start)
    median = {way: statistics.median(some) for way, some in times.items()}
    spread = {way: sorted(some)[len(some) // 4] / median[way] for way, some in times.items()}
    ours = median["gatewright"]
    kind = f"{str(dtype).removeprefix('torch.'):9} T={tokens:4} {'training ' if train else 'inference'}"
    others = "  ".join(f"{way} {median[way] / ours:5.2f}×" for way in ways[1:])
    near = f"error {errors['gatewright']:.1e}, eager's {errors['eager']:.1e}"
    print(
        f"{kind}  ours {ours * 1e3:8.2f} ms (quartile {spread['gatewright']:.2f})  {others}  {near}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    gt._interface()[0].register(gt.NAME, gt.experts_forward)
    for dtype in (torch.bfloat16, torch.float32):
        for tokens, train in ((512, True), (512, False), (8, False), (1, False)):
            case(dtype, tokens, train, rounds if tokens > 8 else 4 * rounds)


if __name__ == "__main__":
    main()
