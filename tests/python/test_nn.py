"""gatewright.nn: layers and routers by name, and what torch expects of a module."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from gatewright import _plan, nn, ops

NEEDS = {"hash", "given"}  # policies that read more than scores, tried below with what they need


def layer(**options) -> nn.MoE:
    torch.manual_seed(0)
    return nn.MoE(**{"hidden": 16, "expert_hidden": 24, "experts": 6, "k": 2, "seed": 1, **options})


def test_equals_the_formula_written_out():
    moe = layer(shared_hidden=8, policy={"part": "softmax_top_k", "renormalise": True})
    x = torch.randn(3, 5, 16)
    weight, chosen = (x @ moe.gate.weight.T).softmax(-1).topk(2)
    weight = weight / weight.sum(-1, keepdim=True)
    want = torch.zeros_like(x)
    for e in range(6):
        first, down = moe.experts.gate_up_proj[e], moe.experts.down_proj[e]
        gate, up = (x @ first.T).chunk(2, -1)
        share = (weight * (chosen == e)).sum(-1, keepdim=True)
        want = want + share * ((torch.nn.functional.silu(gate) * up) @ down.T)
    gate, up = (x @ moe.shared_expert.gate_up_proj[0].T).chunk(2, -1)
    want = want + (torch.nn.functional.silu(gate) * up) @ moe.shared_expert.down_proj[0].T
    torch.testing.assert_close(moe(x), want, rtol=1e-5, atol=1e-5)
    assert set(dict(moe.named_parameters())) == {
        "gate.weight",
        "experts.gate_up_proj",
        "experts.down_proj",
        "shared_expert.gate_up_proj",
        "shared_expert.down_proj",
    }


@pytest.mark.parametrize("part", [p["name"] for p in nn.parts("policies") if p["name"] not in NEEDS])
def test_every_policy_of_the_catalogue(part):
    names = {option["name"] for p in nn.parts("policies") if p["name"] == part for option in p["options"]}
    experts = 4
    moe = layer(experts=experts, k=2 if "k" in names and part != "switch_top1" else None, policy=part)
    x = torch.randn(12, 16, requires_grad=True)
    for train in (True, False):
        y = moe.train(train)(x)
        assert y.shape == x.shape and y.isfinite().all()
        y.sum().backward()
        assert x.grad.isfinite().all() and moe.experts.down_proj.grad.isfinite().all()
    assert len(moe.last_plan.counts()) >= experts


@pytest.mark.parametrize("part", [p["name"] for p in nn.parts("gates") if not {"images"} & set(p["traits"])])
def test_gates_of_the_catalogue_learn(part):
    info = next(p for p in nn.parts("gates") if p["name"] == part)
    if any(word.startswith(("needs", "scores for", "per pixel")) for word in info["traits"]):
        pytest.skip(f"{part} wants more than tokens: {info['traits']}")
    experts = next((int(w.split()[0]) for w in info["traits"] if w.endswith("experts only")), 4)
    try:
        router = nn.Router(16, experts, gate=part)
    except ValueError as error:
        pytest.skip(str(error))
    x = torch.randn(9, 16, requires_grad=True)
    scores = router.scores(x)
    (scores * torch.linspace(-1, 1, scores.numel()).view_as(scores)).sum().backward()
    for name, parameter in router.named_parameters():
        assert parameter.grad is not None and parameter.grad.shape == parameter.shape, name
    assert not list(router.parameters()) or x.grad.abs().sum() > 0


def test_the_bridge_to_gates_has_the_gradients_of_the_plain_way():
    plain = nn.Router(8, 5, seed=3)
    x = torch.randn(7, 8, dtype=torch.float32, requires_grad=True)
    by = torch.randn(7, 5)
    want = torch.autograd.grad((plain.scores(x) * by).sum(), [x, plain.weight])
    bridged = _plan.Scores.apply(plain, {}, x, *plain.parameters())
    torch.testing.assert_close(bridged, plain.scores(x))
    for mine, theirs in zip(torch.autograd.grad((bridged * by).sum(), [x, plain.weight]), want, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_balancers_are_those_of_the_catalogue():
    moe = layer(balancers={"switch_loss": 0.5, "z_loss": 0.25})
    x = torch.randn(40, 16)
    moe(x)
    scores = x @ moe.gate.weight.T
    share = torch.bincount(scores.topk(2).indices.flatten(), minlength=6) / 40
    torch.testing.assert_close(
        moe.losses()["switch_loss"], 0.5 * 6 * (share * scores.softmax(-1).mean(0)).sum()
    )
    torch.testing.assert_close(moe.losses()["z_loss"], 0.25 * scores.logsumexp(-1).square().mean())
    torch.testing.assert_close(moe.aux_loss(), sum(moe.losses().values()))
    moe.aux_loss().backward()
    assert moe.gate.weight.grad.abs().sum() > 0
    torch.testing.assert_close(nn.aux_loss(torch.nn.Sequential(moe)), moe.aux_loss())


def test_controllers_move_the_selection_bias_once_a_step():
    moe = layer(
        policy={"part": "softmax_top_k", "selection_bias": True},
        balancers=[{"part": "bias_update", "rate": 0.1}],
    )
    x = torch.randn(64, 16, requires_grad=True)
    checkpoint(moe, x, use_reentrant=False).sum().backward()  # computed twice, seen once
    counts = moe.last_plan.counts().float()
    moe.end_step()
    torch.testing.assert_close(moe.gate.policy_selection_bias, 0.1 * (counts.mean() - counts).sign())
    before = moe.gate.policy_selection_bias.clone()
    nn.end_step(moe)  # no pass since: nothing moves
    assert torch.equal(before, moe.gate.policy_selection_bias)
    assert "gate.policy_selection_bias" in moe.state_dict()


def test_copies_pickles_types_and_state():
    moe = layer(policy={"part": "softmax_top_k", "selection_bias": True}, balancers=["switch_loss"])
    x = torch.randn(9, 16)
    want = moe(x)
    saved = io.BytesIO()
    torch.save(moe, saved)
    saved.seek(0)
    fresh = layer(policy={"part": "softmax_top_k", "selection_bias": True}, seed=9)
    fresh.load_state_dict(moe.state_dict())
    for twin in (
        copy.deepcopy(moe),
        pickle.loads(pickle.dumps(moe)),
        torch.load(saved, weights_only=False),
        fresh,
    ):
        assert torch.equal(twin(x), want)
        with torch.no_grad():
            twin.gate.weight.zero_()
        assert not torch.equal(twin(x), want) and torch.equal(moe(x), want)
    half = copy.deepcopy(moe).bfloat16()
    assert half.experts.down_proj.dtype == torch.bfloat16 and half.gate.weight.dtype == torch.float32
    assert half(x.bfloat16()).dtype == torch.bfloat16
    assert moe.double()(x.double()).dtype == torch.float64
    assert moe.gate.weight.dtype == torch.float64


@pytest.mark.parametrize("policy", ["softmax_top_k", "noisy_top_k", "expert_choice", "soft_moe"])
def test_checkpointing_has_the_bits_of_none(policy):
    moe = layer(policy=policy, k=None if policy in ("expert_choice", "soft_moe") else 2)
    results = []
    for again in (False, True):
        torch.manual_seed(4)
        x = torch.linspace(-1, 1, 320).view(20, 16).sin().requires_grad_(True)
        y = checkpoint(moe, x, use_reentrant=False) if again else moe(x)
        results.append([y, *torch.autograd.grad(y.square().sum(), [x, *moe.parameters()], allow_unused=True)])
    assert all((a is None and b is None) or torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_compile_and_export():
    moe = layer().eval()
    x = torch.randn(7, 16)
    whole = torch.compile(moe, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(whole(x), moe(x))
    tokens = torch.export.Dim("tokens", min=2, max=99)
    exported = torch.export.export(moe, (x,), dynamic_shapes=({0: tokens},)).module()
    for count in (2, 31):
        x = torch.randn(count, 16)
        torch.testing.assert_close(exported(x), moe(x))


def test_freeze_and_quantise():
    moe = layer(hidden=64, expert_hidden=64)
    x = torch.randn(9, 64)
    nn.freeze(moe)
    moe(x).sum().backward()
    assert moe.experts.down_proj.grad is None and moe.gate.weight.grad is not None
    exact = moe.eval()(x).detach()
    sizes = nn.quantise(moe, bits=8)
    assert sizes["after"] < 0.3 * sizes["before"]
    with torch.no_grad():
        assert float((moe(x) - exact).norm() / exact.norm()) < 0.02
    nn.unquantise(moe)
    torch.testing.assert_close(moe(x), exact)


def test_trains():
    moe = layer(balancers={"switch_loss": 0.01})
    optimiser = torch.optim.Adam(moe.parameters(), lr=3e-3)
    x = torch.randn(256, 16)
    want = torch.sin(3 * x)
    losses = []
    for _ in range(60):
        loss = (moe(x) - want).square().mean()
        (loss + moe.aux_loss()).backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(loss))
    assert losses[-1] < 0.7 * losses[0]


def test_mistakes_are_value_errors_of_the_catalogue():
    for options, words in [
        ({"policy": "softmax_topk"}, 'did you mean "softmax_top_k"'),
        ({"policy": {"part": "softmax_top_k", "renormalize": True}}, 'did you mean "renormalise"'),
        ({"k": 7}, "7"),
        ({"balancers": {"swich_loss": 1}}, 'did you mean "switch_loss"'),
        ({"gate": "lineer"}, 'did you mean "linear"'),
    ]:
        with pytest.raises(ValueError, match=words):
            layer(**options)(torch.randn(4, 16))
    with pytest.raises(ValueError, match="expected a catalogue"):
        nn.parts("policy")
    with pytest.raises(ValueError, match=r"NaN|finite"):
        layer()(torch.full((3, 16), float("nan")))
    assert ops.LAYOUTS
