"""A router in Python: the nearest of learned centres, with a weight that falls with the distance."""

import torch

import gatewright


class Nearest(torch.nn.Module):
    """x [T, hidden] → the k nearest centres [T, k], their weights [T, k], and a loss that pulls the
    centres in."""

    def __init__(self, hidden: int, experts: int, k: int):
        super().__init__()
        self.k, self.centres = k, torch.nn.Parameter(torch.randn(experts, hidden))

    def forward(self, x):
        distance = torch.cdist(x.float(), self.centres)
        near = distance.topk(self.k, largest=False)
        return near.indices, torch.softmax(-near.values, 1), {"pull": 0.01 * near.values.square().mean()}


torch.manual_seed(0)
moe = gatewright.nn.MoE(hidden=8, expert_hidden=16, experts=6, gate=Nearest(8, 6, 2))
optimiser = torch.optim.Adam(moe.parameters(), 1e-2)
x = torch.randn(256, 8)
for step in range(60):
    loss = (moe(x) - x.roll(1, 1).abs()).square().mean()
    (loss + moe.aux_loss()).backward()
    optimiser.step()
    optimiser.zero_grad()
    if step in (0, 59):
        print(f"step {step:2}  loss {loss.item():.3f}  rows {moe.last_plan.counts().tolist()}")
assert loss < 0.6
