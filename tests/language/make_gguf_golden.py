#!/usr/bin/env python3
"""Writes tests/language/golden/gguf: every block format with its values, and two tiny models as llama.cpp has them.

    python3 -m venv env && env/bin/pip install torch safetensors gguf numpy
    env/bin/python tests/language/make_gguf_golden.py

The models are those of make_language_golden.py; written with gguf 0.19.0 and its own dequantisation.
"""
import json
import pathlib

import gguf
import numpy as np
from safetensors.numpy import load_file, save_file

HERE = pathlib.Path(__file__).parent / "golden"
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q6_K", "MXFP4"]


def blocks():
    """Random bytes with sane scales: every code of every format occurs."""
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(HERE / "gguf" / "blocks.gguf", "llama")
    expected = {}
    for name in TYPES:
        kind = getattr(gguf.GGMLQuantizationType, name)
        values, size = gguf.GGML_QUANT_SIZES[kind]
        rows, row = 3, 512
        data = rng.integers(0, 256, (rows, row // values * size), dtype=np.uint8)
        halves = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q6_K": [208]}
        if name in halves:
            view = data.reshape(rows, -1, size)
            for at in halves[name]:
                scale = rng.normal(0, 0.3, view.shape[:2]).astype(np.float16)
                view[:, :, at:at + 2] = scale[..., None].view(np.uint8)
        elif name == "MXFP4":
            data.reshape(rows, -1, size)[:, :, 0] = rng.integers(120, 134, (rows, row // values))
        elif name == "F32":
            data = rng.normal(0, 1, (rows, row)).astype(np.float32).view(np.uint8)
        elif name == "F16":
            data = rng.normal(0, 1, (rows, row)).astype(np.float16).view(np.uint8)
        else:
            data = (rng.normal(0, 1, (rows, row)).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        expected[name] = gguf.dequantize(data, kind).astype(np.float32).reshape(rows, row)
        if name in ("F32", "F16"):
            writer.add_tensor(name, data.view(np.float32 if name == "F32" else np.float16).reshape(rows, row))
        else:
            writer.add_tensor(name, data, raw_dtype=kind)
    finish(writer)
    save_file(expected, HERE / "gguf" / "blocks.safetensors")


def rounded():
    """What the package makes of values in 8 bits: scales of many sizes, a block of zeros, equal distances."""
    rng = np.random.default_rng(2)
    values = (rng.normal(0, 1, (24, 32)) * 10.0 ** rng.integers(-4, 4, (24, 1))).astype(np.float32)
    values[3] = 0
    values[4] = np.arange(32) - 15.5
    save_file({"values": values, "codes": gguf.quantize(values, gguf.GGMLQuantizationType.Q8_0)}, HERE / "gguf" / "q8_0.safetensors")


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def paired(weight, heads):
    """llama.cpp's order of the rows of queries and keys: halves of a head by turns."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "block_sparse_moe.gate": "ffn_gate_inp",
         "mlp.gate": "ffn_gate_inp"}
EXPERTS = {"w1": "ffn_gate_exps", "w3": "ffn_up_exps", "w2": "ffn_down_exps", "gate_proj": "ffn_gate_exps",
           "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps"}


def model(family, architecture, pair):
    config = json.loads((HERE / family / "config.json").read_text())
    tensors = load_file(HERE / family / "model.safetensors")
    writer = gguf.GGUFWriter(HERE / "gguf" / f"{family}.gguf", architecture)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_expert_count(config.get("num_experts", config.get("num_local_experts")))
    writer.add_expert_used_count(config["num_experts_per_tok"])
    if config.get("clip_qkv"):
        writer.add_clamp_kqv(config["clip_qkv"])
    stacks = {}
    for name, weight in sorted(tensors.items()):
        stem, end = name.rsplit(".", 1)
        if not stem.startswith("model.layers."):
            writer.add_tensor({"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}[stem] + "." + end, weight)
            continue
        _, _, layer, rest = stem.split(".", 3)
        if ".experts." in rest:
            _, expert, part = rest.rsplit(".", 2)
            stacks.setdefault(f"blk.{layer}.{EXPERTS[part]}.weight", {})[int(expert)] = weight
            continue
        if pair and rest in ("self_attn.q_proj", "self_attn.k_proj"):
            weight = paired(weight, config["num_attention_heads" if "q_proj" in rest else "num_key_value_heads"])
        writer.add_tensor(f"blk.{layer}.{NAMES[rest]}.{end}", np.ascontiguousarray(weight))
    for name, parts in stacks.items():
        writer.add_tensor(name, np.stack([parts[e] for e in range(len(parts))]))
    finish(writer)


if __name__ == "__main__":
    (HERE / "gguf").mkdir(parents=True, exist_ok=True)
    blocks()
    rounded()
    model("mixtral", "llama", True)
    model("olmoe", "olmoe", False)
