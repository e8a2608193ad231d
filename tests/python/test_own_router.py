"""A router written in Python in the place of the catalogue's, and parameters under data parallelism."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import gatewright
from gatewright import ops


class Hashed(nn.Module):
    """Expert by the sign of random projections, and one learned weight for each."""

    def __init__(self, hidden, experts):
        super().__init__()
        self.experts = experts
        self.weight = nn.Parameter(torch.ones(experts))
        self.register_buffer("planes", torch.randn(hidden, 3))

    def forward(self, x):
        first = ((x @ self.planes > 0).long() * torch.tensor([1, 2, 4])).sum(1) % self.experts
        index = torch.stack([first, (first + 1) % self.experts], 1)
        index[0] = self.experts  # the first token has nobody
        return index, self.weight[index.clamp(max=self.experts - 1)], {"size": self.weight.square().sum()}


def layer():
    torch.manual_seed(0)
    return gatewright.nn.MoE(8, 12, 4, gate=Hashed(8, 4))


def test_it_trains_counts_and_adds_its_losses():
    moe, x = layer(), torch.randn(3, 5, 8)
    y = moe(x)
    assert y.shape == x.shape and torch.equal(y[0, 0], torch.zeros(8))
    index, weight, _ = moe.gate(x.reshape(-1, 8))
    e = moe.experts
    want = ops.experts_ffn(x.reshape(-1, 8), index, weight, e.gate_up_proj, e.down_proj)
    assert torch.equal(y.reshape(-1, 8), want)
    plan = moe.last_plan
    assert plan.counts().tolist() == torch.bincount(index[1:].reshape(-1), minlength=4).tolist()
    assert moe.aux_loss().item() == 4.0 and list(moe.losses()) == ["size"]
    (y.sum() + moe.aux_loss()).backward()
    assert moe.gate.weight.grad.abs().min() > 0
    moe.end_step()
    assert torch.equal(copy.deepcopy(moe)(x), y)
    with pytest.raises(ValueError, match="a gate of your own alone"):
        gatewright.nn.MoE(8, 12, 4, k=2, gate=Hashed(8, 4))


def test_its_routes_are_recorded_and_forced(tmp_path):
    moe, x = nn.Sequential(layer()), torch.randn(9, 8)
    with gatewright.record_routes(moe, tmp_path / "a.bin", weights=True):
        want = moe(x)
    (decision,) = gatewright.read_routes(tmp_path / "a.bin").decisions("0")
    assert np.array_equal(decision.load(), moe[0].last_plan.counts().numpy()) and 0 not in decision.token
    with torch.no_grad():
        moe[0].gate.planes.neg_()
    assert not torch.equal(moe(x), want)
    with gatewright.replay(moe, tmp_path / "a.bin", weights="recorded"):
        assert torch.equal(moe(x), want)


@pytest.fixture
def one_process(tmp_path):
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("how", ["fully_shard", "ddp"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_parameters_are_ordinary_to_data_parallelism(one_process, how):
    """Sharded parameters are whole when the router borrows them; controllers act on the buffers."""
    from torch.distributed.device_mesh import init_device_mesh

    def network():
        torch.manual_seed(0)
        policy = {"part": "sigmoid_top_k", "selection_bias": True}
        balancers = [{"part": "bias_update", "rate": 0.001}]
        return nn.Sequential(
            nn.Linear(8, 8), gatewright.nn.MoE(8, 12, 5, k=2, policy=policy, balancers=balancers, seed=0)
        )

    def train(model):
        optimiser, outputs = torch.optim.Adam(model.parameters(), 1e-2), []
        for seed in range(4):
            torch.manual_seed(seed)
            y = model(torch.randn(16, 8))
            y.square().sum().backward()
            optimiser.step()
            optimiser.zero_grad()
            gatewright.nn.end_step(model)
            outputs.append(y.detach())
        return outputs

    plain, parallel = network(), network()
    if how == "ddp":
        parallel = nn.parallel.DistributedDataParallel(parallel)
    else:
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (1,))
        fully_shard(parallel[1], mesh=mesh)
        fully_shard(parallel, mesh=mesh)
        assert type(next(parallel.parameters())).__name__ == "DTensor"
    assert all(torch.equal(a, b) for a, b in zip(train(plain), train(parallel), strict=True))
    assert any(b.abs().sum() > 0 for n, b in plain[1].gate.named_buffers() if "bias" in n)
