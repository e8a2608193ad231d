"""Three ways to choose among the same experts, by what they do to the load."""

import torch

import gatewright

tokens = torch.randn(512, 32, generator=torch.Generator().manual_seed(0)) + 0.7
for policy in ("softmax_top_k", "sigmoid_top_k", "expert_choice"):
    torch.manual_seed(1)
    k = None if policy == "expert_choice" else 2
    moe = gatewright.nn.MoE(hidden=32, expert_hidden=64, experts=8, k=k, policy=policy, seed=3)
    moe(tokens)
    counts = moe.last_plan.counts()
    print(f"{policy:14} rows {counts.tolist()}  entropy {moe.last_plan.entropy():.3f}")
options = next(part for part in gatewright.nn.parts("policies") if part["name"] == "softmax_top_k")["options"]
print("options of softmax_top_k:", ", ".join(option["name"] for option in options))
