#!/usr/bin/env python3
"""A training step of recipes/byte_olmoe.toml's mixture beside the same model in PyTorch, in turns.

Usage: bench/byte_model_step.py PROGRAM [--steps 40] [--turns 3] [--threads 2] [--assert]

PROGRAM is build/gatewright. To be run by a Python with torch and transformers (measured with wheels of 2.13.0, CPU, and 5.24.0):
transformers' OlmoeForCausalLM of the recipe's sizes, in eager mode, whose experts are a loop over those that a token chose
(experts_implementation="eager"). Both attention implementations are timed, "sdpa", which is the default, and "eager"; the quicker one
counts. Sizes are read from the recipe (size small, arm olmoe); f32, cross entropy with balance and z losses, Adam. The last line says
how many parameters both have. GATEWRIGHT_DATA names the folder of the recipe's texts (tools/fetch_prose.py FOLDER).

Ours is `gatewright train byte_olmoe --size small --arm olmoe` with its own step times (step_times.json), which hold drawing the batch,
the step and what is logged of it; PyTorch's step takes windows from a tensor, clears the gradients, and steps. Steps before the tenth do
not count. The ratio is the median over the turns of the ratio of the turn's medians; the mark: 2.0.
exit code 0: the mark holds, or no --assert; 1: it is missed; 2: a program failed
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

MARK = 2.0
WARM = 10
RECIPE = pathlib.Path(__file__).resolve().parent.parent / "recipes" / "byte_olmoe.toml"


def sizes():
    """The recipe's sizes under the names of transformers' OlmoeConfig, and how many windows a step holds."""
    recipe = tomllib.loads(RECIPE.read_text())
    small, network, mixture = recipe["sizes"]["small"]["config"], recipe["defaults"]["network"], recipe["arms"]["olmoe"]["config"]["network"]["mixture"]
    policy, context = mixture["policy"], small["data"]["context"]
    return recipe["defaults"]["batch"], {
        "hidden_size": network["width"], "num_hidden_layers": network["depth"], "num_attention_heads": network["heads"],
        "num_key_value_heads": network["heads"], "intermediate_size": mixture["bank"]["hidden"], "num_experts": mixture["experts"],
        "num_experts_per_tok": policy["k"], "norm_topk_prob": policy.get("renormalise", False), "vocab_size": 256,
        "max_position_embeddings": context, "rms_norm_eps": network["norm_epsilon"], "rope_theta": float(network["rotary"]["base"]),
        "tie_word_embeddings": False, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None, "use_cache": False}


def torch_steps(attention, steps):
    """Milliseconds of each step, and the number of parameters."""
    import torch
    from transformers import OlmoeConfig, OlmoeForCausalLM

    torch.manual_seed(0)
    batch, given = sizes()
    config = OlmoeConfig(**given, output_router_logits=True, attn_implementation=attention, experts_implementation="eager")
    model = OlmoeForCausalLM(config).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    windows = torch.randint(0, 256, (400, given["max_position_embeddings"]))
    times = []
    for _ in range(steps):
        began = time.perf_counter()
        ids = windows[torch.randint(0, len(windows), (batch,))]
        answer = model(input_ids=ids, labels=ids)
        squares = [torch.logsumexp(logits, -1).square().mean() for logits in answer.router_logits]
        loss = answer.loss + 1e-3 * torch.stack(squares).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        times.append(1000 * (time.perf_counter() - began))
    return {"ms_per_step": times, "parameters": sum(p.numel() for p in model.parameters())}


def run(command, options):
    words = [str(part) for part in command]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    ran = subprocess.run(words, capture_output=True, text=True, env={**kept, "OMP_NUM_THREADS": str(options.threads)})
    if ran.returncode != 0:
        print(f"byte_model_step: {' '.join(words)} ended with {ran.returncode}: {ran.stderr.strip()[-800:]}", file=sys.stderr)
        sys.exit(2)
    return ran.stdout


def ours(options):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        few = [f"budget.examples={sizes()[0] * options.steps}"]
        run([options.program, "--threads", options.threads, "train", "byte_olmoe", "--size", "small", "--arm", "olmoe", "--set", *few, "--quiet", "--out", out],
            options)
        said = json.loads((out / "metrics.json").read_text())["metrics"]
        return {"ms_per_step": json.loads((out / "step_times.json").read_text())["ms_per_step"], "parameters": int(said["parameters"])}


def theirs(attention, options):
    return json.loads(run([sys.executable, __file__, options.program, "--steps", options.steps, "--torch", attention], options))


def middle(said):
    return statistics.median(said["ms_per_step"][WARM:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path, help="build/gatewright")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--torch", choices=["sdpa", "eager"], help=argparse.SUPPRESS)  # the other side, as a process of its own
    parser.add_argument("--assert", dest="enforce", action="store_true", help="exit with 1 if the mark is missed")
    options = parser.parse_args()
    options.program = options.program.resolve()
    if options.steps < 2 * WARM:
        parser.error(f"expected --steps of {2 * WARM} or more, got {options.steps}")
    if options.torch:
        print(json.dumps(torch_steps(options.torch, options.steps)))
        return 0
    print("| turn | gatewright, ms a step | PyTorch, sdpa | PyTorch, eager attention | ratio |\n|---|---|---|---|---|", flush=True)
    ratios = []
    for turn in range(options.turns):
        own, others = ours(options), [theirs(attention, options) for attention in ("sdpa", "eager")]
        ratios.append(min(map(middle, others)) / middle(own))
        print(f"| {turn + 1} | {middle(own):.1f} | " + " | ".join(f"{middle(other):.1f}" for other in others) + f" | {ratios[-1]:.2f} |", flush=True)
    value = statistics.median(ratios)
    print(f"\nparameters: {own['parameters']} and {others[0]['parameters']}; PyTorch / gatewright {value:.2f}, mark {MARK}: {'holds' if value >= MARK else 'missed'}")
    return 0 if value >= MARK or not options.enforce else 1


if __name__ == "__main__":
    sys.exit(main())
