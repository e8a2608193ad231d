#!/usr/bin/env python3
"""Tokens a second of a language model here and in llama.cpp, in turns on one machine.

Usage: bench/language_speed.py PROGRAM LLAMA MODEL… [--weights file,int8] [--turns N] [--assert] [--json FILE]

PROGRAM is build/gatewright. LLAMA is a folder with llama.cpp's `llama-bench`, built with optimisation for this processor. Any way to it
will do; one is the source package `llama-cpp-python` of PyPI, unpacked, whose vendor/llama.cpp is built by cmake
(-DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON, targets llama-bench, llama-perplexity and llama-quantize). MODEL is a GGUF file, read by
both; several are measured one after the other. bench/make_language_model.py makes large ones of random weights.

In every turn, for every model: `llama-bench -p 512 -n 128`, and then for each of --weights `gatewright bench MODEL`, which does the
same: drawn tokens, a warm-up before the clock starts, no loading, no tokenizer and no choice of a token within it. Then `gatewright run
MODEL … --tokens 2`, by the clock from its start as a process to its first line; a first one, which warms the page cache, does not
count. Two threads each, unless --threads says otherwise.

Rates are medians of all rounds of all turns, ± half of what lies between the lowest and the highest turn. Ratios are medians over the
turns of ours / llama.cpp's in that turn: what else the machine does hits both sides of a turn. "of read" is what the weights that a
token touches are in bytes a second, over the bandwidth of reading, measured in turns with it by `gatewright bench`.

Marks: writing 1.1 × llama.cpp, reading a prompt 1.3 × (1.5 × where the model has experts), 0.80 of the bandwidth, 0.5 s to the first
token. With --assert every row has to hold them.
exit code 0: no row misses a mark, or no --assert; 1: one does; 2: a program failed
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

MARKS = {"writing": 1.1, "reading": 1.3, "reading, experts": 1.5, "of read": 0.80, "first token": 0.5}
PROMPT = "Once upon a time"


def fail(message):
    print(f"language_speed: {message}", file=sys.stderr)
    sys.exit(2)


def environment(options):
    """As a user has it: threads that wait may sleep."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    return {**kept, "OMP_NUM_THREADS": str(options.threads)}


def output_of(command, options, both=False):
    """Standard output, with `both` standard error behind it."""
    words = [str(part) for part in command]
    ran = subprocess.run(words, capture_output=True, text=True, env=environment(options))
    if ran.returncode != 0:
        fail(f"{' '.join(words)} ended with {ran.returncode}: {ran.stderr.strip()[-500:]}")
    return ran.stdout + ran.stderr if both else ran.stdout


def theirs(model, options):
    """(tokens read, tokens written) a second, of each repeat."""
    sizes = ["-p", options.prompt, "-n", options.tokens, "-t", options.threads, "-r", options.rounds]
    tests = json.loads(output_of([options.llama / "llama-bench", "-m", model, *sizes, "-o", "json"], options))
    rates = {bool(test["n_gen"]): test["samples_ts"] for test in tests}
    return rates[False], rates[True]


def ours(model, weights, options):
    sizes = ["--prompt", options.prompt, "--tokens", options.tokens, "--rounds", options.rounds]
    command = [options.program, "--threads", options.threads, "bench", model, "--weights", weights, *sizes, "--json"]
    return json.loads(output_of(command, options))


def first_token(model, weights, options):
    """Seconds from the start of the process to its first line."""
    command = [options.program, "--threads", options.threads, "run", model, PROMPT, "--weights", weights, "--tokens", 2, "--json"]
    words = [str(part) for part in command]
    began = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(options)) as process:
        line = process.stdout.readline()
        took = time.perf_counter() - began
        _, said = process.communicate()
    if process.returncode != 0 or "token" not in line:
        fail(f"{' '.join(words)} ended with {process.returncode}: {said.strip()[-500:]}")
    return took


def experts_of(model, options):
    return json.loads(output_of([options.program, "inspect", model, "--json"], options))["experts"]


class Row:
    """What one model with one kind of weights has measured, a list of each turn's values."""

    def __init__(self, model, weights, experts):
        self.model, self.weights, self.experts = model, weights, experts
        self.reading, self.writing, self.share, self.first = [], [], [], []

    def add(self, said, first):
        self.reading.append([said["prompt_tokens"] / s for s in said["prompt_s"]])
        self.writing.append([said["written_tokens"] / s for s in said["written_s"]])
        self.share.append(said["of_read_bandwidth"])
        self.first += first
        self.bytes, self.bandwidth = said["read_bytes_per_token"], said["read_bytes_per_second"]


def middle(turns):
    """The median of all rounds and half of what lies between the turns' medians."""
    medians = [statistics.median(turn) for turn in turns]
    return statistics.median([value for turn in turns for value in turn]), (max(medians) - min(medians)) / 2


def ratio(mine, other):
    return statistics.median([statistics.median(a) / statistics.median(b) for a, b in zip(mine, other)])


def measure(model, options):
    rows = [Row(model, weights, experts_of(model, options)) for weights in options.weights.split(",")]
    reading, writing = [], []
    for turn in range(options.turns):
        read, written = theirs(model, options)
        reading.append(read), writing.append(written)
        for row in rows:
            said = ours(model, row.weights, options)
            firsts = [first_token(model, row.weights, options) for _ in range(3)][1:]
            row.add(said, firsts)
        print(f"{model.name}: turn {turn + 1} of {options.turns}", file=sys.stderr, flush=True)
    return reading, writing, rows


def judged(row, reading, writing):
    """What is printed and written of a row, with the marks that it misses."""
    found = {"model": row.model.name, "weights": row.weights, "experts": row.experts}
    for name, mine, other in (("reading", row.reading, reading), ("writing", row.writing, writing)):
        found[name] = dict(zip(("rate", "spread"), middle(mine)))
        found[name]["llama_rate"], found[name]["llama_spread"] = middle(other)
        found[name]["ratio"] = ratio(mine, other)
    found["read_bytes_per_token"], found["read_bytes_per_second"] = row.bytes, row.bandwidth
    found["of_read"], found["first_token_s"] = statistics.median(row.share), statistics.median(row.first)
    least = MARKS["reading, experts" if row.experts > 1 else "reading"]
    held = {"reading": found["reading"]["ratio"] >= least, "writing": found["writing"]["ratio"] >= MARKS["writing"],
            "of read": found["of_read"] >= MARKS["of read"], "first token": found["first_token_s"] <= MARKS["first token"]}
    found["missed"] = [name for name, holds in held.items() if not holds]
    return found


def print_rows(found):
    for f in found:
        sides = [f"{f[name]['rate']:.1f} ± {f[name]['spread']:.1f} | {f[name]['llama_rate']:.1f} ± {f[name]['llama_spread']:.1f} | {f[name]['ratio']:.2f}"
                 for name in ("reading", "writing")]
        memory = f"{f['read_bytes_per_token'] / 1e6:.0f} MB × {f['writing']['rate']:.1f} = {f['of_read']:.2f} of {f['read_bytes_per_second'] / 1e9:.1f} GB/s"
        verdict = "missed: " + ", ".join(f["missed"]) if f["missed"] else "all hold"
        print(f"| {f['model']} | {f['weights']} | " + " | ".join([*sides, memory, f"{f['first_token_s']:.2f} s", verdict]) + " |", flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path, help="build/gatewright")
    parser.add_argument("llama", type=pathlib.Path, help="folder of llama-bench")
    parser.add_argument("models", type=pathlib.Path, nargs="+", help="GGUF files")
    parser.add_argument("--weights", default="file", help="ways to hold them here, with commas between: file,keep,f32,bf16,int8,int4")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=512, help="tokens read at once")
    parser.add_argument("--tokens", type=int, default=128, help="tokens written")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="repeats within a turn")
    parser.add_argument("--assert", dest="enforce", action="store_true", help="exit with 1 if a row misses a mark")
    parser.add_argument("--json", type=pathlib.Path, help="write all numbers to this file")
    options = parser.parse_args()
    options.program = options.program.resolve()
    for path in (options.program, options.llama / "llama-bench", *options.models):
        if not path.is_file():
            fail(f"expected a file {path}, found none")
    return options


def main():
    options = arguments()
    head = ["model", "--weights", f"prompt {options.prompt}, tokens/s", "llama.cpp", "ratio", f"{options.tokens} written, tokens/s", "llama.cpp", "ratio",
            "a token's bytes, of read", "first token", "marks"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)
    found = []
    for model in options.models:
        reading, writing, rows = measure(model, options)
        found += [judged(row, reading, writing) for row in rows]
        print_rows(found[-len(rows):])
    if options.json:
        options.json.write_text(json.dumps({"marks": MARKS, "threads": options.threads, "rows": found}, indent=2) + "\n")
    return 1 if options.enforce and any(f["missed"] for f in found) else 0


if __name__ == "__main__":
    sys.exit(main())
