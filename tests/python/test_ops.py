"""torch.ops.gatewright: values and gradients against torch, and what compilers need of an op."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck
from torch.utils.checkpoint import checkpoint

import gatewright
from conftest import dense_layer, make_case, reference
from gatewright import ops

LAYOUTS = ["cat", "interleaved", "up", "cat_t", "interleaved_t", "up_t"]
INPUTS = ["x", "weight", "first", "down", "first_bias", "down_bias"]


def run(case, **options):
    return ops.experts_ffn(
        *(case[n] for n in ("x", "index", "weight", "first", "down", "first_bias", "down_bias")), **options
    )


def gradients(y, case):
    given = [case[n] for n in INPUTS if case[n] is not None]
    return torch.autograd.grad((y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum(), given)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "dtype,tolerance", [(torch.float64, 1e-12), (torch.float32, 2e-5), (torch.bfloat16, 4e-2)]
)
@pytest.mark.parametrize("tokens,sentinels", [(7, True), (90, False)])
def test_equals_torch_in_every_layout(layout, dtype, tolerance, tokens, sentinels):
    case = make_case(layout, tokens=tokens, dtype=dtype, sentinels=sentinels, d=24, h=18, out=20)
    options = {} if layout.startswith("up") else {"limit": 1.5, "shift": 1.0}
    got, want = run(case, layout=layout, **options), reference(case, layout, **options)
    assert got.dtype == dtype
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance * float(want.abs().max()))
    if dtype == torch.bfloat16:
        return  # rounding takes values across the kinks; gradients of bf16 are below, without a limit
    for mine, theirs in zip(gradients(got, case), gradients(want, case), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance * float(theirs.abs().max()))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bf16_gradients_are_as_near_as_torchs(layout):
    case = make_case(layout, tokens=60, dtype=torch.bfloat16, d=32, h=32, out=32)
    exact = {
        n: t if n == "index" or t is None else t.detach().double().requires_grad_(True)
        for n, t in case.items()
    }
    ours = gradients(run(case, layout=layout), case)
    true = gradients(reference(exact, layout), exact)
    for mine, best in zip(ours, true, strict=True):
        assert float((mine.double() - best).norm() / best.norm()) < 0.02


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sizes_where_vectors_and_panels_are_whole(layout):
    case = make_case(layout, tokens=40, dtype=torch.float32, d=64, h=64, out=64)
    for mine, theirs in zip(
        gradients(run(case, layout=layout), case), gradients(reference(case, layout), case), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_tanh", "relu_squared", "quick_gelu"])
def test_gradcheck(activation):
    case = make_case(tokens=3, experts=4, d=3, h=4, out=3, sentinels=True)
    given = [case[n] for n in INPUTS]

    def function(x, weight, first, down, first_bias, down_bias):
        return ops.experts_ffn(
            x, case["index"], weight, first, down, first_bias, down_bias, activation=activation, limit=6.0
        )  # far from the kinks of these values

    assert gradcheck(function, given)


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("tokens", [0, 5])
@pytest.mark.parametrize(
    "layout,bias,dtype",
    [
        ("cat", False, torch.float32),
        ("interleaved_t", True, torch.float32),
        ("cat", True, torch.bfloat16),
        ("up", False, torch.float32),
    ],
)
def test_opcheck_experts_ffn(k, tokens, layout, bias, dtype):
    case = make_case(layout, bias=bias, tokens=tokens, k=k, dtype=dtype, sentinels=True)
    args = (*case.values(), "silu", layout, 0.0, 0.0, True)
    torch.library.opcheck(torch.ops.gatewright.experts_ffn.default, args)
    with torch.no_grad():
        y, kept = torch.ops.gatewright.experts_ffn(
            *(t.detach() if t is not None else t for t in case.values()), "silu", layout, 0.0, 0.0, True
        )
    back = tuple(t.detach() if t is not None else t for t in case.values())
    want = [True, True, True, False, bias, bias]
    torch.library.opcheck(
        torch.ops.gatewright.experts_ffn_backward.default,
        (torch.ones_like(y), *back, "silu", layout, 0.0, 0.0, kept, want),
    )


def test_opcheck_the_others():
    scores = torch.randn(6, 5, requires_grad=True)
    index = make_case(sentinels=True)["index"]
    torch.library.opcheck(torch.ops.gatewright.route_plan.default, (index, 5))
    for score in ("softmax", "sigmoid", "identity"):
        torch.library.opcheck(torch.ops.gatewright.top_k.default, (scores, 2, score, True))


def test_top_k_and_its_gradient():
    scores = torch.randn(9, 6, dtype=torch.float64, requires_grad=True)
    got = ops.top_k(scores, 2, "softmax", renormalise=True)
    value, chosen = scores.softmax(-1).topk(2)
    assert torch.equal(got.expert, chosen)
    torch.testing.assert_close(got.weight, value / value.sum(-1, keepdim=True))
    for score in ("softmax", "sigmoid"):
        for renormalise in (False, True):
            assert gradcheck(lambda s, f=score, r=renormalise: ops.top_k(s, 2, f, r).weight, [scores])


def test_route_plan_sorts_and_drops_sentinels():
    plan = ops.route_plan(torch.tensor([[2, 0], [9, 2], [0, 0]]), 3)
    assert plan.offsets.tolist() == [0, 3, 3, 5]
    assert plan.token.tolist() == [0, 2, 2, 0, 1, -1]
    assert plan.slot.tolist() == [1, 4, 5, 0, 3, -1]


def test_compile_without_a_break_and_once_for_all_sizes():
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    def layer(x, index, weight, first, down):
        return ops.experts_ffn(x.relu(), index, weight, first, down).square()

    whole = torch.compile(layer, fullgraph=True, dynamic=True, backend=backend)
    for tokens in (4, 9, 30):
        case = make_case(bias=False, tokens=tokens, dtype=torch.float32)
        args = [case[n] for n in ("x", "index", "weight", "first", "down")]
        torch.testing.assert_close(whole(*args), layer(*args))
    assert len(compiled) == 1


def test_compile_through_autograd():
    def layer(x, index, weight, first, down):
        return ops.experts_ffn(x * 2, index, weight, first, down).sin()

    whole = torch.compile(layer, fullgraph=True, backend="aot_eager")
    case = make_case(bias=False, dtype=torch.float32)
    args = [case[n] for n in ("x", "index", "weight", "first", "down")]
    for mine, theirs in zip(gradients(whole(*args), case), gradients(layer(*args), case), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_export_with_any_number_of_tokens():
    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            case = make_case(bias=False, dtype=torch.float32)
            self.first, self.down = (torch.nn.Parameter(case[n].detach()) for n in ("first", "down"))

        def forward(self, x, scores):
            chosen = ops.top_k(scores, 2)
            return ops.experts_ffn(x, chosen.expert, chosen.weight, self.first, self.down)

    layer, tokens = Layer(), torch.export.Dim("tokens", min=2, max=512)
    args = torch.randn(7, 6), torch.randn(7, 5)
    exported = torch.export.export(layer, args, dynamic_shapes=({0: tokens}, {0: tokens})).module()
    for count in (3, 50):
        args = torch.randn(count, 6), torch.randn(count, 5)
        torch.testing.assert_close(exported(*args), layer(*args))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_checkpointing_has_the_bits_of_none(dtype):
    case = make_case(tokens=64, dtype=dtype, d=32, h=32, out=32)
    plain = gradients(run(case), case)
    again = gradients(checkpoint(lambda: run(case), use_reentrant=False), case)
    recomputed = gradients(run(case, recompute=True), case)
    assert all(
        torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(plain, again, recomputed, strict=True)
    )


def test_same_bits_for_any_number_of_threads():
    case = make_case(tokens=200, dtype=torch.float32, d=64, h=64, out=64)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        y = run(case)
        results.append([y, *gradients(y, case)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_stacks_are_not_copied():
    case = make_case(
        "interleaved_t",
        tokens=2,
        experts=8,
        d=256,
        h=512,
        out=256,
        bias=False,
        dtype=torch.float32,
        grad=False,
    )
    run(case, layout="interleaved_t")
    with torch.profiler.profile(profile_memory=True) as profile:
        run(case, layout="interleaved_t")
    largest = max((e.self_cpu_memory_usage for e in profile.key_averages()), default=0)
    assert largest < case["down"].numel() * 4 / 8


def test_strided_stacks_and_gradients_from_expand():
    case = make_case(dtype=torch.float32, bias=False, out=6)
    wide = torch.randn(5, 40, 12)
    strided = {**case, "first": wide[:, ::2, ::2].detach().requires_grad_(True)}
    assert not strided["first"].is_contiguous()
    y, want = run(strided), reference(strided)
    torch.testing.assert_close(y, want)
    mine = torch.autograd.grad(run(strided).sum(), strided["first"])[0]  # sum: dy is an expanded scalar
    torch.testing.assert_close(mine, torch.autograd.grad(want.sum(), strided["first"])[0])


def test_only_wanted_gradients_are_made():
    case = make_case(bias=True)
    for name in ("first", "down_bias"):
        case[name].requires_grad_(False)
    run(case).sum().backward()
    assert case["first"].grad is None and case["down_bias"].grad is None
    assert case["down"].grad is not None and case["first_bias"].grad is not None
    assert torch.equal(case["down"].grad[3], torch.zeros_like(case["down"][3]))  # nobody went to expert 3


def test_mixed_types_and_autocast():
    case = make_case(dtype=torch.bfloat16, tokens=20)
    wide = {**case, "x": case["x"].detach().float().requires_grad_(True)}
    assert run(wide).dtype == torch.float32
    run(wide).sum().backward()
    assert wide["x"].grad.dtype == torch.float32 and wide["first"].grad.dtype == torch.bfloat16
    single = make_case(dtype=torch.float32, tokens=20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = run(single)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert single["first"].grad.dtype == torch.float32
    torch.testing.assert_close(y.float(), run(single), rtol=0.05, atol=0.1)


def test_inference_mode_and_quantised():
    case = make_case(dtype=torch.float32, tokens=20, d=64, h=64, out=64, grad=False)
    with torch.inference_mode():
        assert torch.equal(run(case), run(case))
    exact = run(case)
    for bits, most in ((8, 0.02), (4, 0.25)):
        few = ops.quantise_experts(
            case["first"], case["down"], case["first_bias"], case["down_bias"], bits=bits
        )
        y = ops.experts_ffn_quantised(case["x"], case["index"], case["weight"], few)
        assert float((y - exact).norm() / exact.norm()) < most
    assert few.bytes() < case["first"].numel() * 4 / 4


def test_mistakes_are_value_errors_with_the_near_miss():
    case = make_case()
    for change, options, words in [
        ({}, {"activation": "sillu"}, 'did you mean "silu"'),
        ({}, {"layout": "cat_tt"}, 'did you mean "cat_t"'),
        ({"index": case["index"] - 9}, {}, "expected expert ids from 0 on"),
        ({"index": case["index"].int()}, {}, "int64"),
        ({"x": case["x"][:, :4]}, {}, r"expected x \[T, 6\]"),
        ({"x": case["x"][:3]}, {}, "a row per token"),
        ({"weight": case["weight"][:, :1]}, {}, "expected routing weights"),
        ({"down": case["down"].float()}, {}, "expected down"),
        ({"down": case["down"][:4]}, {}, "expected down"),
        ({"first_bias": case["first_bias"][:, :3]}, {}, "expected a first bias"),
        ({n: case[n].half() for n in INPUTS}, {}, "f32, bf16 or f64"),
        ({}, {"limit": -1.0}, "limit >= 0"),
    ]:
        with pytest.raises(ValueError, match=words):
            run({**case, **change}, **options)
    with pytest.raises(ValueError, match="NaN for token 1"):
        ops.top_k(torch.tensor([[0.0, 1.0], [float("nan"), 0.0]]), 1)
    with pytest.raises(ValueError, match='did you mean "softmax"'):
        ops.top_k(torch.zeros(2, 3), 1, "sotfmax")


def test_transforms_are_refused_clearly():
    case = make_case(bias=False, dtype=torch.float32, grad=False)
    args = [case[n] for n in ("index", "weight", "first", "down")]
    with pytest.raises(ValueError, match=r"got torch.vmap"):
        torch.vmap(lambda x: ops.experts_ffn(x, *args))(torch.randn(2, 7, 6))
    with pytest.raises(ValueError, match="forward-mode"):
        torch.func.jvp(lambda x: ops.experts_ffn(x, *args), (case["x"],), (torch.ones_like(case["x"]),))
    case = make_case()
    first = torch.autograd.grad(run(case).sum(), case["x"], create_graph=True)[0]
    with pytest.raises(ValueError, match="second derivatives"):
        first.sum().backward()


def test_nan_stays_in_its_token():
    case = make_case(dtype=torch.float32, grad=False)
    case["x"][2, 1] = float("nan")
    y = run(case)
    assert y[2].isnan().all() and not y[[0, 1, 3, 4, 5, 6]].isnan().any()


def test_halves_are_what_the_layouts_say():
    case = make_case("interleaved_t")
    gate, up, *_ = dense_layer(case, "interleaved_t")
    assert torch.equal(gate[0, 1], case["first"][0, :, 2]) and torch.equal(up[0, 1], case["first"][0, :, 3])
    assert gatewright.ops.LAYOUTS == ("cat", "interleaved", "up", "cat_t", "interleaved_t", "up_t")


def test_rows_of_any_plan():
    """With `token`, a row per (token, expert) pair in any order: the same as ids by token."""
    case = make_case(tokens=9)
    order = torch.randperm(18)
    token = torch.arange(9).repeat_interleave(2)[order]
    index, weight = (case[n].reshape(-1)[order][:, None] for n in ("index", "weight"))
    stacks = [case[n] for n in ("first", "down", "first_bias", "down_bias")]
    y = ops.experts_ffn(case["x"], index, weight, *stacks, token=token)
    torch.testing.assert_close(y, run(case))
    for mine, theirs in zip(gradients(y, case), gradients(run(case), case), strict=True):
        torch.testing.assert_close(mine, theirs)
    with pytest.raises(ValueError, match="expected token ids"):
        ops.experts_ffn(case["x"], index, weight, *stacks, token=token + 5)
