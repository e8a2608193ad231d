#!/usr/bin/env python3
"""Writes tests/language/golden: a tiny random checkpoint of every family, with what transformers answers.

    python3 -m venv env && env/bin/pip install torch transformers safetensors
    env/bin/python tests/language/make_language_golden.py

Sizes are odd on purpose: a swap of two matrices or of two halves changes a shape or a number. Written with torch 2.13 and
transformers 5.24.
"""
import json
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file

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
    "phimoe": dict(intermediate_size=12, num_local_experts=5, num_experts_per_tok=2, attention_bias=True, lm_head_bias=True,
                   original_max_position_embeddings=64, rope_parameters=dict(
                       rope_type="longrope", rope_theta=1000.0, short_factor=[1.0, 1.5], long_factor=[2.0, 3.0],
                       short_mscale=1.1, long_mscale=1.3, original_max_position_embeddings=64)),
}


def make(name, options):
    torch.manual_seed(len(name))
    config = transformers.AutoConfig.for_model(name, **{**COMMON, **options})
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).eval().float()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.dim() == 1 or "bias" in parameter_name or "sinks" in parameter_name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            else:
                parameter.copy_(torch.randn_like(parameter) * 0.35)
        for buffer_name, buffer in model.named_buffers():
            if buffer_name.endswith("e_score_correction_bias"):
                buffer.copy_(torch.randn_like(buffer) * 0.3)
    chosen = []
    for module_name, module in model.named_modules():
        if "Router" in type(module).__name__ or type(module).__name__.endswith("TopKGating"):
            module.register_forward_hook(lambda m, i, out: chosen.append(
                [t for t in out if isinstance(t, torch.Tensor) and t.dtype == torch.int64]) if isinstance(out, tuple) else None)
    ids = torch.randint(2, COMMON["vocab_size"], (1, 23))
    with torch.no_grad():
        logits = model(ids).logits[0]
        routes = [c[0] for c in chosen if c]
        text = ids[:, :9]
        for _ in range(32):
            text = torch.cat([text, model(text).logits[:, -1:].argmax(-1)], 1)
        short = model(text[:, :11]).logits[0]
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    tensors = {"ids": ids[0], "logits": logits, "greedy": text[0], "short": short}
    for i, route in enumerate(routes):
        tensors[f"routes{i}"] = route.reshape(ids.shape[1], -1)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "expected.safetensors")
    print(f"{name}: {sum(f.stat().st_size for f in folder.iterdir()) // 1000} kB, routes of {len(routes)} layers, "
          f"logits {logits.std():.2f}")


if __name__ == "__main__":
    for family, values in FAMILIES.items():
        if len(sys.argv) < 2 or family in sys.argv[1:]:
            make(family, values)
