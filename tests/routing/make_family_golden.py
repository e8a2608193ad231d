#!/usr/bin/env python3
"""Writes tests/routing/golden/families.json: what the routers of twelve model families do with the same scores, in PyTorch f64.

Each function states one family's router mathematics in the plainest tensor operations, with no knowledge of the C++ code: dense
weights [T, E], zero where a token does not go. Scores are rounded to six decimals, so that the file holds them exactly, and have no ties.
Run: python3 tests/routing/make_family_golden.py     (PyTorch; any version gives the same numbers to 1e-12)
"""
import json
import math
import pathlib

import torch

TOKENS, EXPERTS = 12, 16


def scattered(weight, index, like):
    return torch.zeros_like(like).scatter(1, index, weight)


def softmax_top_k(scores, k, renormalise):
    p = scores.softmax(1)
    weight, index = p.topk(k, 1)
    if renormalise:
        weight = weight / weight.sum(1, keepdim=True)
    return scattered(weight, index, p)


def top_k_softmax(scores, k):
    chosen, index = scores.topk(k, 1)
    return scattered(chosen.softmax(1), index, scores)


def switch(scores, room):
    p = scores.softmax(1)
    out = torch.zeros_like(p)
    rows = [0] * p.shape[1]
    for t in range(p.shape[0]):
        e = int(p[t].argmax())
        if rows[e] < room:
            out[t, e] = p[t, e]
        rows[e] += 1
    return out


def nllb(scores, fraction, masking):
    p = scores.softmax(1)
    first = p.argmax(1)
    second = scores.scatter(1, first[:, None], -math.inf).argmax(1)
    room, rows, out = math.ceil(fraction * p.shape[0]), [0] * p.shape[1], torch.zeros_like(p)
    for choice in (first, second):  # every first choice takes its place before any second one
        for t in range(p.shape[0]):
            e = int(choice[t])
            if rows[e] < room:
                out[t, e] = p[t, e]
                rows[e] += 1
    total = out.sum(1, keepdim=True)
    return torch.where(total > 0, out / total, out) * (1 - masking)


def group_limited(preference, groups, keep, group_score):
    grouped = preference.view(preference.shape[0], groups, -1)
    best = group_score(grouped).topk(keep, 1).indices
    open_groups = torch.zeros(preference.shape[0], groups, dtype=torch.bool).scatter(1, best, True)
    return open_groups[:, :, None].expand_as(grouped).reshape(preference.shape)


def deepseek_v2(scores, k, groups, keep, scale):
    p = scores.softmax(1)
    is_open = group_limited(p, groups, keep, lambda g: g.max(2).values)
    weight, index = torch.where(is_open, p, torch.zeros_like(p)).topk(k, 1)
    return scattered(weight * scale, index, p)


def deepseek_v3(scores, bias, k, groups, keep, scale, closed):
    s = scores.sigmoid()
    biased = s + bias
    is_open = group_limited(biased, groups, keep, lambda g: g.topk(2, 2).values.sum(2))
    index = torch.where(is_open, biased, torch.full_like(biased, closed)).topk(k, 1).indices
    weight = s.gather(1, index)
    return scattered(weight / (weight.sum(1, keepdim=True) + 1e-20) * scale, index, s)


def phimoe(scores, width):
    def one(open_scores):
        best = open_scores.max(1, keepdim=True)
        far = (best.values - scores) / torch.maximum(scores.abs(), best.values) > 2 * width
        return best.indices, open_scores.masked_fill(far, -math.inf).softmax(1).gather(1, best.indices)

    first, first_weight = one(scores)
    second, second_weight = one(scores.scatter(1, first, -math.inf))
    return scattered(first_weight, first, scores) + scattered(second_weight, second, scores)


def main():
    generator = torch.Generator().manual_seed(20240407)
    scores = (torch.randn(TOKENS, EXPERTS, generator=generator, dtype=torch.float64) * 1.5).round(decimals=6)
    bias = (torch.randn(EXPERTS, generator=generator, dtype=torch.float64) * 0.4).round(decimals=6)
    close = (scores * 0.01 + 2).round(decimals=6)  # rivals within two per cent, for the router that looks for them
    assert all(row.unique().numel() == EXPERTS for row in torch.cat([scores, close]))
    weights = {
        "mixtral": softmax_top_k(scores, 2, True),
        "olmoe": softmax_top_k(scores, 8, False),
        "qwen2_moe": softmax_top_k(scores, 4, False),
        "qwen3_moe": softmax_top_k(scores, 8, True),
        "granite": top_k_softmax(scores, 8),
        "gpt_oss": top_k_softmax(scores, 4),
        "jetmoe": top_k_softmax(scores, 2),
        "switch": switch(scores, 1),
        "nllb": nllb(scores, 0.25, 0.2),
        "deepseek_v2": deepseek_v2(scores, 4, 4, 2, 16.0),
        "deepseek_v3": deepseek_v3(scores, bias, 4, 4, 2, 2.5, -math.inf),
        "deepseek_v3_zero": deepseek_v3(scores, bias - 2, 4, 4, 2, 2.5, 0.0),
        "phimoe": phimoe(close, 0.01),
    }
    golden = {"scores": scores.tolist(), "close": close.tolist(), "bias": bias.tolist(), "weights": {n: w.tolist() for n, w in weights.items()}}
    path = pathlib.Path(__file__).parent / "golden" / "families.json"
    path.write_text(json.dumps(golden) + "\n", encoding="utf-8")
    print(f"{path}: {len(weights)} routers")


if __name__ == "__main__":
    main()
