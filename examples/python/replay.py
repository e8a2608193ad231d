"""Routes of a trained layer, recorded, looked at, and forced on a layer whose router has been disturbed."""

import pathlib
import tempfile

import torch

import gatewright

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(2, 16), gatewright.nn.MoE(hidden=16, expert_hidden=32, experts=4, k=1, seed=0)
)
x = torch.rand(64, 2)
path = pathlib.Path(tempfile.mkdtemp()) / "routes.bin"
with gatewright.record_routes(model, path, weights=True):
    before = model(x)
recording = gatewright.read_routes(path)
print("layers", recording.sites, "rows", recording.load("1").tolist())

with torch.no_grad():
    model[1].gate.weight.neg_()
print("disturbed, the outputs move by", (model(x) - before).abs().max().item())
with gatewright.replay(model, path, weights="recorded"):
    same = torch.equal(model(x), before)
print("with the recorded routes they are the same bits:", same)
assert same
