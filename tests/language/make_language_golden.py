#!/usr/bin/env python3
"""Writes tests/language/golden: a tiny random checkpoint of every family, with what transformers answers.

    python3 -m venv env && env/bin/pip install torch transformers safetensors
    env/bin/python tests/language/make_language_golden.py
    env/bin/python tests/language/make_language_golden.py --gradients

The second writes gradients.safetensors beside the checkpoints that are there, and changes nothing of them: the gradients of
the mean loss of each next token of the same text, under the names of the tensors that they belong to.

Sizes are odd on purpose: a swap of two matrices or of two halves changes a shape or a number. Written with torch 2.13 and
transformers 5.24.
"""
import itertools
import json
import pathlib
import shutil
import sys
import tempfile
import types

import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent / "golden"
COMMON = dict(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
              max_position_embeddings=256, initializer_range=0.3, bos_token_id=1, eos_token_id=None, pad_token_id=0)
ROPE = dict(rope_parameters=dict(rope_type="default", rope_theta=1000.0))
FAMILIES = {
    "llama": dict(intermediate_size=20, tie_word_embeddings=True, attention_bias=True, rope_parameters=dict(
        rope_type="llama3", rope_theta=1000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=32)),
    "mistral": dict(intermediate_size=20, sliding_window=7, **ROPE),
    "qwen2": dict(intermediate_size=20, rope_parameters=dict(
        rope_type="yarn", rope_theta=1000.0, factor=4.0, original_max_position_embeddings=64)),
    "mixtral": dict(intermediate_size=12, num_local_experts=5, num_experts_per_tok=2, **ROPE),
    "olmoe": dict(intermediate_size=12, num_experts=6, num_experts_per_tok=3, clip_qkv=2.0, **ROPE),
    "qwen2_moe": dict(intermediate_size=20, moe_intermediate_size=12, shared_expert_intermediate_size=10, num_experts=5,
                      num_experts_per_tok=2, decoder_sparse_step=1, mlp_only_layers=[0], **ROPE),
    "qwen3_moe": dict(intermediate_size=20, moe_intermediate_size=12, num_experts=5, num_experts_per_tok=2, head_dim=6,
                      norm_topk_prob=True, **ROPE),
    "granitemoe": dict(intermediate_size=12, num_local_experts=5, num_experts_per_tok=2, embedding_multiplier=3.0,
                       attention_multiplier=0.4, residual_multiplier=0.6, logits_scaling=2.0, **ROPE),
    "gpt_oss": dict(intermediate_size=12, num_local_experts=5, num_experts_per_tok=2, head_dim=6, sliding_window=6,
                    layer_types=["sliding_attention", "full_attention"], rope_parameters=dict(
                        rope_type="yarn", rope_theta=1000.0, factor=4.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
                        original_max_position_embeddings=64)),
    "deepseek_v2": dict(intermediate_size=20, moe_intermediate_size=12, n_routed_experts=6, n_shared_experts=2, num_experts_per_tok=2,
                        first_k_dense_replace=1, topk_method="group_limited_greedy", n_group=3, topk_group=2,
                        routed_scaling_factor=1.5, kv_lora_rank=10, q_lora_rank=None, qk_nope_head_dim=6, qk_rope_head_dim=4,
                        v_head_dim=5, **{**ROPE, "num_key_value_heads": 4}),
    "deepseek_v3": dict(intermediate_size=20, moe_intermediate_size=12, n_routed_experts=8, n_shared_experts=1, num_experts_per_tok=3,
                        first_k_dense_replace=1, n_group=4, topk_group=2, routed_scaling_factor=2.5, norm_topk_prob=True,
                        kv_lora_rank=10, q_lora_rank=9, qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=5,
                        num_key_value_heads=4, rope_parameters=dict(
                            rope_type="yarn", rope_theta=1000.0, factor=4.0, beta_fast=32.0, beta_slow=1.0, mscale=1.0,
                            mscale_all_dim=0.7, original_max_position_embeddings=64)),
    "jetmoe": dict(intermediate_size=12, num_local_experts=5, num_experts_per_tok=2, kv_channels=6, num_key_value_heads=3,
                   rms_norm_eps=1e-3, tie_word_embeddings=True, **ROPE),
    "phimoe": dict(intermediate_size=12, num_local_experts=5, num_experts_per_tok=2, attention_bias=True, lm_head_bias=True,
                   original_max_position_embeddings=64, rope_parameters=dict(
                       rope_type="longrope", rope_theta=1000.0, short_factor=[1.0, 1.5], long_factor=[2.0, 3.0],
                       short_mscale=1.1, long_mscale=1.3, original_max_position_embeddings=64)),
}


# Models that read one text and write another. Rooms of 4 tokens are too few for 23, and distances beyond 12 share a bucket.
SWITCH = dict(vocab_size=40, d_model=16, d_kv=6, d_ff=12, num_heads=3, num_layers=4, num_decoder_layers=4, num_experts=5,
              num_sparse_encoder_layers=1, num_sparse_decoder_layers=2, expert_capacity=4, relative_attention_num_buckets=8,
              relative_attention_max_distance=12, pad_token_id=0, eos_token_id=None, decoder_start_token_id=0)
PAIRS = {
    "switch_transformers": ("switch_transformers", SWITCH),
    "switch_transformers_untied": ("switch_transformers", {
        **SWITCH, "num_layers": 2, "num_decoder_layers": 2, "num_sparse_encoder_layers": 2, "num_sparse_decoder_layers": 0,
        "tie_word_embeddings": False, "router_bias": True}),
    "nllb_moe": ("nllb-moe", dict(
        vocab_size=40, d_model=16, encoder_layers=3, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=2,
        encoder_ffn_dim=12, decoder_ffn_dim=10, encoder_sparse_step=2, decoder_sparse_step=1, num_experts=5,
        max_position_embeddings=64, pad_token_id=1, bos_token_id=0, eos_token_id=None, decoder_start_token_id=2)),
}

# Checkpoints of few bits: the family, other sizes, and how its tensors are coded.
SCALED = {
    "deepseek_v3_fp8": ("deepseek_v3", dict(hidden_size=16), "fp8"),
    "gpt_oss_mxfp4": ("gpt_oss", dict(hidden_size=32, intermediate_size=64, num_local_experts=3, num_hidden_layers=1,
                                      layer_types=["sliding_attention"]), "mxfp4"),
}
# Encoders of sentences: a text's vector is the mean over its tokens.
ENCODERS = {"bert": dict(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=20,
                         max_position_embeddings=32, type_vocab_size=2, pad_token_id=0)}
GRADIENTS = ("mixtral", "olmoe", "qwen2_moe", "gpt_oss", "deepseek_v3")  # with --gradients
BLOCK = 8  # of FP8, instead of 128: tiny tensors have several, and smaller ones at their ends


def fp8(name, weight):
    """DeepSeek-V3's form: codes of 8 bits, and a scale for each block of both directions."""
    rows, columns = (-(-n // BLOCK) for n in weight.shape)
    scale = torch.empty(rows, columns)
    codes = torch.empty(weight.shape, dtype=torch.float8_e4m3fn)
    value = torch.empty_like(weight)
    for i in range(rows):
        for j in range(columns):
            at = (slice(i * BLOCK, (i + 1) * BLOCK), slice(j * BLOCK, (j + 1) * BLOCK))
            scale[i, j] = weight[at].abs().max() / 448
            codes[at] = (weight[at] / scale[i, j]).to(torch.float8_e4m3fn)
            value[at] = codes[at].float() * scale[i, j]
    return {name: codes, name + "_scale_inv": scale}, value


def mxfp4(name, weight):
    """GPT-OSS's form of [E, in, out]: 32 inputs share an exponent, two values a byte. Read by transformers' own function."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    rows = weight.transpose(1, 2)
    groups = rows.reshape(*rows.shape[:2], -1, 32)
    exponent = (groups.abs().amax(-1).log2().floor() - 2).clamp(-127, 127)
    table = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    scaled = groups / exponent.exp2()[..., None]
    code = (scaled.abs()[..., None] - table).abs().argmin(-1) + 8 * (scaled < 0)
    blocks = (code[..., 0::2] + 16 * code[..., 1::2]).to(torch.uint8)
    scales = (exponent + 127).to(torch.uint8)
    value = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).reshape(weight.shape)
    return {name + "_blocks": blocks, name + "_scales": scales}, value


def scale(model, form):
    """The tensors of the form's checkpoint; the model gets the values that they stand for."""
    tensors = {}
    state = revert(model)
    for name, weight in state.items():
        few = form == "fp8" and weight.dim() == 2 and name.startswith("model.layers") and not name.endswith("mlp.gate.weight")
        few = few or form == "mxfp4" and name.endswith(("experts.gate_up_proj", "experts.down_proj"))
        if few:
            own, value = (fp8 if form == "fp8" else mxfp4)(name, weight)
        else:
            exact = name.endswith("e_score_correction_bias")  # the rest of these publications is in bf16
            own = {name: weight if exact else weight.bfloat16()}
            value = own[name].float()
        tensors.update(own)
        state[name] = value
    return tensors, state


def revert(model):
    """The model's tensors as save_pretrained writes them."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(pathlib.Path(folder) / "model.safetensors")


def reload(model, state, config):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        save_file(state, pathlib.Path(folder) / "model.safetensors", {"format": "pt"})
        return transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval().float()


def routes_of(module, out):
    if type(module).__name__ == "JetMoeTopKGating":
        return out[4].topk(module.top_k, dim=1).indices  # its own integers are an order of rows
    chosen = [t for t in out if isinstance(t, torch.Tensor) and t.dtype == torch.int64]
    return chosen[0] if chosen else None


def randomise(model):
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.dim() == 1 or "bias" in parameter_name or "sinks" in parameter_name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            else:
                parameter.copy_(torch.randn_like(parameter) * 0.35)


def write(model, name, change=None):
    """A fresh folder with the model; config.json sorted, so that a diff of two versions says what changed."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    config.update(change or {})
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    return folder


def expect(folder, tensors):
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "expected.safetensors")
    print(f"{folder.name}: {sum(f.stat().st_size for f in folder.iterdir()) // 1000} kB, logits {tensors['logits'].std():.2f}")


def nllb_experts(self, hidden_states, router_mask, router_probs):
    """What NLLB's experts are to do. transformers 5.24 looks them up by the mask: class 1 of a mask runs expert 1."""
    assert not self.training
    out = torch.zeros_like(hidden_states)
    for e in range(self.num_experts):
        out += self[f"expert_{e}"](hidden_states) * router_probs[:, e, None] * (1 - self.moe_token_dropout)
    return out


def routes_of_pair(module, out):
    """[T, E] of zeros and ones, after what found no room is gone."""
    return out[0][0] if type(module).__name__.startswith("Switch") else (out[1] > 0).long()


def make_pair(name, model_type, options):
    """The first seed whose greedy text is no endless repetition, which many a fault would repeat too."""
    seeds = itertools.count(len(name))
    while not make_pair_of(next(seeds), name, model_type, options):
        pass


def make_pair_of(seed, name, model_type, options):
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(model_type, **options)
    config._attn_implementation = "eager"
    model = transformers.AutoModelForSeq2SeqLM.from_config(config).eval().float()
    randomise(model)
    kept = []
    for module in model.modules():
        if "Router" in type(module).__name__:
            module.register_forward_hook(lambda m, i, out: kept.append(routes_of_pair(m, out)))
        if type(module).__name__ == "NllbMoeExperts":
            module.forward = types.MethodType(nllb_experts, module)
    start = options["decoder_start_token_id"]
    source = torch.randint(2, options["vocab_size"], (1, 23))
    text = torch.cat([torch.full((1, 1), start), torch.randint(2, options["vocab_size"], (1, 13))], 1)
    with torch.no_grad():
        whole = model(input_ids=source, decoder_input_ids=text)
        routes = list(kept)
        short = model(input_ids=source[:, :5], decoder_input_ids=text[:, :3]).logits[0]
        greedy = model.generate(source, do_sample=False, num_beams=1, max_new_tokens=24)
    assert greedy.shape[1] == 25, greedy.shape
    if len(set(greedy[0].tolist())) < (4 if model_type == "nllb-moe" else 8):  # its embeddings are scaled up
        return False
    tensors = {"source": source[0], "text": text[0], "memory": whole.encoder_last_hidden_state[0], "logits": whole.logits[0],
               "short": short, "greedy": greedy[0]}
    for i, route in enumerate(routes):
        tensors[f"routes{i}"] = route.to(torch.int64)
    lost = [int((r.sum(-1) == 0).sum()) for r in routes]
    folder = write(model, name)
    expect(folder, tensors)
    print(f"  seed {seed}, tokens without room: {lost}")
    return True


def make(name, options, form=None):
    torch.manual_seed(len(name))
    family = name
    if form:
        family, more, form = form
        options = {**options, **more}
    config = transformers.AutoConfig.for_model(family, **{**COMMON, **options})
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).eval().float()
    randomise(model)
    with torch.no_grad():
        for buffer_name, buffer in model.named_buffers():
            if buffer_name.endswith("e_score_correction_bias"):
                buffer.copy_(torch.randn_like(buffer) * 0.3)
    tensors = None
    if form:
        tensors, state = scale(model, form)
        model = reload(model, state, config)
    chosen = []
    for module_name, module in model.named_modules():
        if "Router" in type(module).__name__ or type(module).__name__.endswith("TopKGating"):
            module.register_forward_hook(lambda m, i, out: chosen.append(routes_of(m, out)) if isinstance(out, tuple) else None)
    ids = torch.randint(2, COMMON["vocab_size"], (1, 23))
    with torch.no_grad():
        logits = model(ids).logits[0]
        routes = [c for c in chosen if c is not None]
        text = ids[:, :9]
        for _ in range(32):
            text = torch.cat([text, model(text).logits[:, -1:].argmax(-1)], 1)
        short = model(text[:, :11]).logits[0]
    change = {}
    if form:
        change = {"dtype": "bfloat16",
                  "quantization_config": {"quant_method": form, **({"weight_block_size": [BLOCK, BLOCK]} if form == "fp8" else {})}}
    folder = write(model, name, change)
    if form:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    tensors = {"ids": ids[0], "logits": logits, "greedy": text[0], "short": short}
    for i, route in enumerate(routes):
        tensors[f"routes{i}"] = route.reshape(ids.shape[1], -1)
    expect(folder, tensors)


def make_encoder(name, options):
    torch.manual_seed(len(name))
    config = transformers.AutoConfig.for_model(name, **options)
    config._attn_implementation = "eager"
    model = transformers.AutoModel.from_config(config).eval().float()
    randomise(model)
    texts = [torch.randint(1, options["vocab_size"], (n,)) for n in (9, 23)]
    with torch.no_grad():
        vectors = torch.stack([model(text[None]).last_hidden_state[0].mean(0) for text in texts])
    folder = write(model, name)
    expected = {"ids": torch.cat(texts), "lengths": torch.tensor([len(text) for text in texts]), "vectors": vectors}
    save_file(expected, folder / "expected.safetensors")
    print(f"{name}: vectors {vectors.std():.2f}")


def make_gradients(name):
    """Written as a checkpoint whose values are gradients, so that names and layouts are the publication's."""
    folder = HERE / name
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    expected = load_file(folder / "expected.safetensors")
    ids = expected["ids"][None]
    logits = model(ids).logits[0]
    assert (logits - expected["logits"]).abs().max() < 1e-4, "another model than the one that was answered"
    loss = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:])
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
    tensors = {k: v.float().contiguous() for k, v in revert(model).items()}
    save_file(tensors, folder / "gradients.safetensors", {"format": "pt"})
    largest = max(v.abs().max().item() for k, v in tensors.items() if not k.endswith("e_score_correction_bias"))
    print(f"{name}: loss {loss.item():.4f}, largest gradient {largest:.3f}")


if __name__ == "__main__":
    if "--gradients" in sys.argv:
        for name in GRADIENTS:
            make_gradients(name)
        sys.exit()
    for family, values in FAMILIES.items():
        if len(sys.argv) < 2 or family in sys.argv[1:]:
            make(family, values)
    for name, form in SCALED.items():
        if len(sys.argv) < 2 or name in sys.argv[1:]:
            make(name, FAMILIES[form[0]], form)
    for name, values in PAIRS.items():
        if len(sys.argv) < 2 or name in sys.argv[1:]:
            make_pair(name, *values)
    for name, values in ENCODERS.items():
        if len(sys.argv) < 2 or name in sys.argv[1:]:
            make_encoder(name, values)
