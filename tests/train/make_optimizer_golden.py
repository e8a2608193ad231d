#!/usr/bin/env python3
"""Writes tests/train/golden/optimizers.json with PyTorch (pip install torch): parameters after ten steps in double precision.

Element i of parameter k starts at cos(0.3 i + k); its gradient at step t (from 1) is sin(0.7 i + 1.3 t + k), and none at all for parameter 1 at
steps divisible by 3. The learning rate is 0.05 / t. The test states the same.
"""
import json
import pathlib

import torch

SIZES, STEPS = (12, 5), 10
CASES = [
    ("sgd", torch.optim.SGD, {"momentum": 0.0, "weight_decay": 0.01}, {}),
    ("sgd", torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}, {}),
    ("sgd", torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True}, {}),
    ("adam", torch.optim.Adam, {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "weight_decay": 0.02}, {"betas": (0.9, 0.99), "eps": 1e-8}),
    ("adamw", torch.optim.AdamW, {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-7, "weight_decay": 0.1}, {"betas": (0.8, 0.99), "eps": 1e-7}),
]


def run(optimizer_class, options):
    parameters = [torch.nn.Parameter(torch.cos(0.3 * torch.arange(n, dtype=torch.float64) + k)) for k, n in enumerate(SIZES)]
    optimizer = optimizer_class(parameters, lr=1.0, **options)
    for t in range(1, STEPS + 1):
        optimizer.param_groups[0]["lr"] = 0.05 / t
        for k, p in enumerate(parameters):
            skipped = k == 1 and t % 3 == 0
            p.grad = None if skipped else torch.sin(0.7 * torch.arange(len(p), dtype=torch.float64) + 1.3 * t + k)
        optimizer.step()
    return [p.tolist() for p in parameters]


cases = []
for part, optimizer_class, ours, theirs in CASES:
    options = {key: value for key, value in ours.items() if key not in ("beta1", "beta2", "epsilon")} | theirs
    cases.append({"part": part, "options": ours, "torch": torch.__version__, "values": run(optimizer_class, options)})
path = pathlib.Path(__file__).parent / "golden" / "optimizers.json"
path.write_text(json.dumps(cases, indent=1) + "\n")
