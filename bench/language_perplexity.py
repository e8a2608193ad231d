#!/usr/bin/env python3
"""Perplexity of texts here and in llama.cpp: the same file, the same chunks, the same tokens scored.

Usage: bench/language_perplexity.py PROGRAM LLAMA MODEL TEXT… [--weights file,int8] [--chunks N] [--assert]

PROGRAM is build/gatewright, LLAMA a folder with `llama-perplexity` (bench/language_speed.py says how to come by it), MODEL a GGUF file.
Both cut the text's tokens into chunks of --context, put the model's beginning of text, where it has one, before the text and in place of
each chunk's first token, and score what follows the first half of each chunk. llama-perplexity drops one line end at the end of a file;
where that changes the number of chunks, the difference is an error and --chunks the remedy.

llama.cpp multiplies quantised weights by rows of 8 bits, `--weights file` by f32: they need not be equal. The mark: within 0.5 %.
exit code 0: no row misses it, or no --assert; 1: one does; 2: a program failed
"""
import argparse
import json
import pathlib
import re
import sys

import language_speed

MARK = 0.005


def theirs(text, options):
    """(perplexity, its standard error, chunks)"""
    sizes = ["-c", options.context, "-b", options.context, "-t", options.threads]
    chunks = ["--chunks", options.chunks] if options.chunks else []
    command = [options.llama / "llama-perplexity", "-m", options.model, "-f", text, *sizes, *chunks]
    said = language_speed.output_of(command, options, both=True)
    value = re.search(r"Final estimate: PPL = ([0-9.]+) \+/- ([0-9.]+)", said)
    count = re.search(r"perplexity over (\d+) chunks", said)
    if not value or not count:
        language_speed.fail(f"llama-perplexity said no perplexity of {text}: {said.strip()[-500:]}")
    return float(value[1]), float(value[2]), int(count[1])


def ours(text, weights, options):
    command = [options.program, "--threads", options.threads, "perplexity", options.model, text, "--weights", weights, "--context", options.context,
               "--chunks", options.chunks, "--json"]
    said = json.loads(language_speed.output_of(command, options))
    return said["perplexity"], said["chunks"]


def compare(text, options):
    value, error, chunks = theirs(text, options)
    held = True
    for weights in options.weights.split(","):
        own, own_chunks = ours(text, weights, options)
        if own_chunks != chunks:
            language_speed.fail(f"{text}: expected as many chunks as llama-perplexity's {chunks}, got {own_chunks}; give --chunks {min(chunks, own_chunks)}")
        off = own / value - 1
        held = held and abs(off) <= MARK
        verdict = "holds" if abs(off) <= MARK else "missed"
        print(f"| {text.name} | {chunks} | {weights} | {own:.4f} | {value:.4f} ± {error:.4f} | {100 * off:+.3f} % | {verdict} |", flush=True)
    return held


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path, help="build/gatewright")
    parser.add_argument("llama", type=pathlib.Path, help="folder of llama-perplexity")
    parser.add_argument("model", type=pathlib.Path, help="GGUF file")
    parser.add_argument("texts", type=pathlib.Path, nargs="+", help="files in UTF-8")
    parser.add_argument("--weights", default="file", help="ways to hold them here, with commas between")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=0, help="the first so many, 0: all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--assert", dest="enforce", action="store_true", help="exit with 1 if the mark is missed")
    options = parser.parse_args()
    options.program = options.program.resolve()
    print("| text | chunks | --weights | gatewright | llama.cpp | off by | |\n|---|---|---|---|---|---|---|", flush=True)
    held = [compare(text, options) for text in options.texts]
    return 0 if all(held) or not options.enforce else 1


if __name__ == "__main__":
    sys.exit(main())
