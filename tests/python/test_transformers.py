"""gatewright.transformers against the models' own forward: logits, gradients, generation, adapters."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

transformers = pytest.importorskip("transformers", minversion="5.0")

import gatewright.transformers as gt  # noqa: E402
from tiny_models import MODELS, tiny  # noqa: E402

IDS = torch.arange(3, 35).view(2, 16)


def gradients(model) -> dict[str, torch.Tensor]:
    model.zero_grad(set_to_none=True)
    torch.manual_seed(1)  # some routers draw noise in training
    logits = model(IDS).logits
    (logits.float() * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("model_type", MODELS)
def test_equals_eager(model_type):
    model = tiny(model_type)
    model.set_experts_implementation("eager")
    with torch.no_grad():
        want = model(IDS).logits
    expected = gradients(model.train() if model_type != "jamba" else model)
    model.eval()
    text = model.generate(IDS[:, :4], max_new_tokens=6, do_sample=False)
    report = gt.enable(model)
    assert report.took and not report.missed, str(report)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        got = model(IDS).logits
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    for name, gradient in gradients(model.train() if model_type != "jamba" else model).items():
        torch.testing.assert_close(
            gradient,
            expected[name],
            rtol=1e-3,
            atol=1e-4 * float(expected[name].abs().max()) + 1e-6,
            msg=lambda words, n=name: f"{n}: {words}",
        )
    model.eval()
    assert torch.equal(model.generate(IDS[:, :4], max_new_tokens=6, do_sample=False), text)
    gt.disable(model)
    assert model.get_experts_implementation()[""] == "eager"


@pytest.mark.parametrize("model_type", ["mixtral", "gpt_oss", "granitemoe", "nemotron_h"])
def test_bf16_is_as_near_to_exact_as_eager(model_type):
    """One layer with given routes: in a whole model, rounding sends some tokens elsewhere."""
    model = tiny(model_type)
    model.set_experts_implementation("eager")
    layer = next(iter(gt.expert_layers(model).values()))
    half = copy.deepcopy(layer).bfloat16()
    x, index, weight = torch.randn(50, 32), torch.randint(0, 4, (50, 2)), torch.rand(50, 2)
    with torch.no_grad():
        exact, eager = layer(x, index, weight), half(x.bfloat16(), index, weight).float()
        ours = gt.experts_forward(half, x.bfloat16(), index, weight)
    assert ours.dtype == torch.bfloat16
    assert float((ours.float() - exact).norm()) < 1.1 * float((eager - exact).norm())


def test_report_and_refusals():
    model = tiny("mixtral")
    report = gt.enable(model)
    assert str(report).splitlines()[0] == "2 of 2 layers of experts use gatewright"
    assert "silu, stacks cat, float32" in str(report)
    from transformers import LlamaConfig, LlamaForCausalLM

    dense = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=8,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
        )
    )
    with pytest.raises(ValueError, match="expected a model whose experts dispatch by name"):
        gt.enable(dense)
    with pytest.raises(ValueError, match=r"see gatewright\.nn\.MoE"):
        gt.enable(torch.nn.Linear(2, 2))


def test_models_that_do_not_dispatch_say_so():
    from transformers import SwitchTransformersConfig, SwitchTransformersForConditionalGeneration

    model = SwitchTransformersForConditionalGeneration(
        SwitchTransformersConfig(
            vocab_size=16,
            d_model=8,
            d_kv=4,
            d_ff=8,
            num_layers=2,
            num_decoder_layers=2,
            num_sparse_encoder_layers=1,
            num_sparse_decoder_layers=1,
            num_heads=2,
            num_experts=2,
        )
    )
    report = gt.enable(model, strict=False)
    assert not report.took and "does not dispatch its experts by name" in str(report)
    with pytest.raises(ValueError, match="does not dispatch its experts by name"):
        gt.enable(model)


def test_what_the_kernels_do_not_compute_falls_back_once_with_the_reason():
    model = tiny("mixtral")
    layer = model.model.layers[0].mlp.experts
    layer.act_fn = torch.nn.Hardswish()
    want = (model.set_experts_implementation("eager"), model(IDS).logits)[1]
    report = gt.enable(model)
    assert list(report.missed) == ["model.layers.0.mlp.experts"] and len(report.took) == 1
    with pytest.warns(UserWarning, match="none that the kernels compute") as said:
        model(IDS)
        got = model(IDS).logits
    assert len(said) == 1
    torch.testing.assert_close(got, want)
    half = tiny("olmoe").half()
    gt.enable(half)
    with pytest.warns(UserWarning, match=r"torch\.float16"):
        half(IDS)


def test_unknown_gates_are_found_out_by_trying():
    model = tiny("mixtral")
    layer = model.model.layers[0].mlp.experts
    layer.swiglu_limit = 2.5
    layer._apply_gate = lambda both: (
        lambda g, u: (u.clamp(-2.5, 2.5) + 1) * torch.sigmoid(1.702 * g.clamp(max=2.5)) * g.clamp(max=2.5)
    )(*both.chunk(2, dim=-1))
    report = gt.enable(model)
    assert report.took["model.layers.0.mlp.experts"].startswith("quick_gelu, limit 2.5, shift 1")


def test_saving_copying_and_moving(tmp_path):
    model = tiny("mixtral")
    before = model.state_dict()
    model.save_pretrained(tmp_path / "before")
    gt.enable(model)
    model.save_pretrained(tmp_path / "after")
    for file in (tmp_path / "before").iterdir():
        assert file.read_bytes() == (tmp_path / "after" / file.name).read_bytes(), file.name
    assert list(model.state_dict()) == list(before)
    twin = copy.deepcopy(model)
    torch.testing.assert_close(twin(IDS).logits, model(IDS).logits)
    torch.testing.assert_close(model.double()(IDS).logits.float(), twin(IDS).logits, rtol=1e-4, atol=1e-4)


def test_sentinels_of_expert_parallel_add_nothing():
    layer = tiny("mixtral").model.layers[0].mlp.experts
    x, weight = torch.randn(6, 32), torch.rand(6, 2, requires_grad=True)
    index = torch.tensor([[0, 4], [1, 2], [4, 4], [3, 0], [4, 1], [2, 4]])
    y = gt.experts_forward(layer, x, index, weight)
    assert not y[2].any()
    grad = torch.autograd.grad(y.sum(), weight)[0]
    assert not grad[index == 4].any() and grad[index != 4].all()


def test_checkpointing_and_compile():
    model = tiny("qwen3_moe").train()
    gt.enable(model)
    plain = gradients(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    again = gradients(model)
    assert all(torch.equal(plain[n], again[n]) for n in plain)
    model.gradient_checkpointing_disable()
    model.eval()
    layer = model.model.layers[0].mlp
    hidden = torch.randn(1, 5, 32)
    whole = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(whole(hidden), layer(hidden))


def test_autocast_trains():
    model = tiny("mixtral").train()
    gt.enable(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(IDS, labels=IDS).loss
    loss.backward()
    assert model.model.layers[0].mlp.experts.gate_up_proj.grad.dtype == torch.float32


def test_lora_on_the_stacks():
    peft = pytest.importorskip("peft")
    model = tiny("mixtral")
    with torch.no_grad():
        plain = model(IDS).logits
    adapted = peft.get_peft_model(
        model,
        peft.LoraConfig(
            r=2,
            target_modules=[],
            target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
            init_lora_weights=False,
        ),
    )
    adapted.eval()
    adapted.base_model.model.set_experts_implementation("eager")
    want = adapted(IDS).logits
    assert (want - plain).abs().max() > 1e-3
    report = gt.enable(adapted)
    assert len(report.took) == 2
    torch.testing.assert_close(adapted(IDS).logits, want, rtol=1e-4, atol=1e-4)
    adapted.train()
    adapted(IDS, labels=IDS).loss.backward()
    trained = {n for n, p in adapted.named_parameters() if p.grad is not None}
    assert trained and all("lora" in n for n in trained)  # the frozen base gets none
    adapted.eval()
    merged = adapted.merge_and_unload()
    torch.testing.assert_close(merged(IDS).logits, want, rtol=1e-4, atol=1e-4)
