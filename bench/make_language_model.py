#!/usr/bin/env python3
"""Writes a large mixture of random weights as GGUF, to time programs that read it: OLMoE's shape, fewer layers.

Usage: bench/make_language_model.py VOCABULARY.gguf OUT.gguf [--layers 4] [--experts 64] [--seed 0] …

Needs numpy and gguf of PyPI (pip install gguf). VOCABULARY.gguf is any file of a model whose tokenizer is copied, SmolLM2's say: a
program that reads texts wants one, and the head is as large as its tokens are many (49 152; OLMoE has 50 304). The defaults are OLMoE's
otherwise: width 2048, 64 experts of 1024 hidden values, 8 for a token, 16 heads; 4 of its 16 layers: 1.86 billion values, 3.7 GB in
bf16. Matrices are normal with a deviation of 0.02, in bf16; norms are 1 and routers f32. The file is written tensor by tensor and takes
its name when it is whole; memory stays below 2 GB.

What has such weights says nothing, but takes as long as what has learned: tokens spread over all experts, where those of trained models
may not. From it come

    gatewright convert OUT.gguf olmoe-q8_0.gguf --dtype q8_0
    llama-quantize --pure OUT.gguf olmoe-q4_k.gguf Q4_K_S       (--pure: Q4_K alone)

exit code 0: written, 2: it could not be
"""
import argparse
import os
import pathlib
import sys

import numpy as np

try:
    import gguf
except ImportError:
    sys.exit("make_language_model: needs the package gguf; pip install gguf")

DEVIATION = 0.02
ROWS = 1 << 24  # values that are drawn at once


def shapes(o):
    """(name, shape, kind): matrix in bf16, router in f32, norm."""
    yield "token_embd.weight", (o.vocabulary, o.width), "matrix"
    for i in range(o.layers):
        block = f"blk.{i}."
        for name in ("attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm"):
            yield f"{block}{name}.weight", (o.width,), "norm"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"{block}{name}.weight", (o.width, o.width), "matrix"
        yield f"{block}ffn_gate_inp.weight", (o.experts, o.width), "router"
        for name, shape in (("gate", (o.hidden, o.width)), ("up", (o.hidden, o.width)), ("down", (o.width, o.hidden))):
            yield f"{block}ffn_{name}_exps.weight", (o.experts, *shape), "matrix"
    yield "output_norm.weight", (o.width,), "norm"
    yield "output.weight", (o.vocabulary, o.width), "matrix"


def rounded(values):
    """bf16 of f32, to the nearest even one, as two bytes each."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def drawn(shape, kind, rng):
    if kind == "norm":
        return np.ones(shape, np.float32)
    count = int(np.prod(shape))
    if kind == "router":
        return (rng.standard_normal(count, np.float32) * np.float32(DEVIATION)).reshape(shape)
    parts = [rounded(rng.standard_normal(min(ROWS, count - at), np.float32) * np.float32(DEVIATION)) for at in range(0, count, ROWS)]
    return np.concatenate(parts).reshape(shape)


def copy_vocabulary(reader, writer):
    """Everything below tokenizer.; answers how many tokens there are."""
    for key, field in reader.fields.items():
        if key.startswith("tokenizer."):
            inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=inner)
    tokens = reader.fields.get("tokenizer.ggml.tokens")
    if tokens is None:
        sys.exit("make_language_model: expected a file with tokenizer.ggml.tokens, found none; take another as VOCABULARY.gguf")
    return len(tokens.data)


def describe(writer, o):
    writer.add_name(f"random mixture, {o.layers} layers of {o.experts} experts")
    writer.add_context_length(4096), writer.add_embedding_length(o.width), writer.add_block_count(o.layers)
    writer.add_feed_forward_length(o.hidden), writer.add_head_count(o.heads), writer.add_head_count_kv(o.heads)
    writer.add_expert_count(o.experts), writer.add_expert_used_count(o.chosen)
    writer.add_layer_norm_rms_eps(1e-5), writer.add_rope_freq_base(10000.0)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)


def write(o):
    beside = o.out.with_name(f"{o.out.name}.{os.getpid()}.part")
    writer = gguf.GGUFWriter(beside, "olmoe")
    o.vocabulary = copy_vocabulary(gguf.GGUFReader(o.like), writer)
    describe(writer, o)
    types = {"matrix": (np.uint16, gguf.GGMLQuantizationType.BF16), "router": (np.float32, None), "norm": (np.float32, None)}
    for name, shape, kind in shapes(o):
        stored, raw = types[kind]
        writer.add_tensor_info(name, shape, np.dtype(stored), int(np.prod(shape)) * np.dtype(stored).itemsize, raw_dtype=raw)
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_ti_data_to_file()
    for index, (name, shape, kind) in enumerate(shapes(o)):
        writer.write_tensor_data(drawn(shape, kind, np.random.default_rng([o.seed, index])))
        print(f"\r{name:<40}", end="", file=sys.stderr, flush=True)
    writer.close()
    with open(beside, "rb") as file:
        os.fsync(file.fileno())
    beside.rename(o.out)
    print(f"\r{o.out}: {o.out.stat().st_size / 1e9:.2f} GB{'':<30}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("like", type=pathlib.Path, help="GGUF file whose tokenizer is copied")
    parser.add_argument("out", type=pathlib.Path, help="new GGUF file")
    for name, default in (("layers", 4), ("width", 2048), ("hidden", 1024), ("experts", 64), ("chosen", 8), ("heads", 16), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    if not options.like.is_file():
        print(f"make_language_model: expected a file {options.like}, found none", file=sys.stderr)
        return 2
    write(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
