"""A mixture layer in the place of a feed-forward block, trained on a function with four regimes."""

import torch

import gatewright

torch.manual_seed(0)
block = torch.nn.Sequential(
    torch.nn.Linear(2, 32),
    gatewright.nn.MoE(hidden=32, expert_hidden=64, experts=8, k=2, balancers={"switch_loss": 0.01}),
    torch.nn.Linear(32, 1),
)
optimiser = torch.optim.Adam(block.parameters(), lr=3e-3)
for step in range(200):
    x = torch.rand(256, 2) * 2 - 1
    want = torch.where(x[:, :1] > 0, torch.sin(6 * x[:, 1:]), x[:, :1] * x[:, 1:])
    loss = (block(x) - want).square().mean()
    (loss + gatewright.nn.aux_loss(block)).backward()
    optimiser.step()
    optimiser.zero_grad()
    if step % 50 == 0 or step == 199:
        plan = block[1].last_plan
        load = f"rows {plan.counts().tolist()}  entropy {plan.entropy():.3f}"
        print(f"step {step:3}  loss {float(loss.detach()):.4f}  {load}")
assert loss < 0.1
