#!/usr/bin/env python3
"""`gatewright learn` beside scikit-learn's MLPClassifier after the same seconds, on two tables in one run.

Usage: bench/same_seconds.py PROGRAM TABLES [--seeds N] [--only shuttle,generated] [--rows N] [-- FLAGS of learn]

PROGRAM is build/gatewright, TABLES the folder that tools/export_tables.py wrote. The tables are shuttle (58 000 rows, 9 numbers, 7
classes) and one that is generated here (60 000 rows of 54 columns: 10 numbers, 4 and 40 columns of 0 and 1 of which one is 1; 7 classes;
of the kind of the forest cover types). For each seed one split into 80 % and 20 %, the same files for both:

  MLPClassifier    its defaults, on standardised inputs; the seconds are those of fit() and of what comes before it, reading left out
  early            the same with early_stopping=True, which is no default and quicker
  gatewright       `learn TRAIN --target y --seconds S`, S chosen so that the whole command, reading and scoring included, takes about
                   as long as the other: a first short run tells what the command takes beside its training

By default `learn` keeps a fifth of the training file for scores of its own; `-- --test-share 0.05 --shuffles 0` gives most of it back.

All with two threads. Held-out scores are computed here from the answers, for all in the same way. Prediction: `predict` of N rows (200
000 by default) beside one of 1 000, with one thread; the difference over the difference of the rows, from file to file.

The mark: gatewright's mean score over the seeds is not below MLPClassifier's, on either table, and 10^5 rows a second are predicted.
exit code 0: the mark holds, 1: it is missed
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import pandas as pd

from tables import Encoded, THREADS, read, score, split

MOST_ROWS_PER_SECOND_MARK = 1e5


def generated(rows=60000, seed=20261130):
    """Classes of a random network of three hidden layers over the columns, a twentieth of them drawn anew."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 10))
    numbers[:, 5:] = numbers[:, 5:] ** 2  # skewed ones too
    groups = [np.eye(count)[rng.integers(0, count, rows)] for count in (4, 40)]
    x = np.hstack([numbers, *groups])
    h = x
    for width in (32, 32, 16):
        h = np.tanh(1.5 * h @ rng.normal(size=(h.shape[1], width)) / np.sqrt(h.shape[1] / 3))
    score_of = h @ rng.normal(size=(h.shape[1], 7))
    y = (score_of - score_of.mean(0)).argmax(1)
    noisy = rng.random(rows) < 0.05
    y[noisy] = rng.integers(0, 7, noisy.sum())
    table = pd.DataFrame({f"n{i}": [f"{v:.6g}" for v in x[:, i]] for i in range(10)})
    for i in range(10, 54):
        table[f"b{i}"] = x[:, i].astype(int).astype(str)
    table["y"] = [f"kind{c}" for c in y]
    return table, "y"


def perceptron(train, test, response, seed, **options):
    from sklearn.neural_network import MLPClassifier

    began = time.perf_counter()
    encode = Encoded(train.drop(columns=response))
    model = MLPClassifier(random_state=seed, **options).fit(encode(train), train[response])
    took = time.perf_counter() - began
    return score(False, model.predict(encode(test)), test[response]), took


def run(command, threads):
    began = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    return time.perf_counter() - began


def learn(options, folder, response, seconds, seed, out):
    flags = ["--target", response, "--task", "class", "--seconds", f"{seconds:.2f}", "--seed", seed, "--out", out, "--quiet"]
    return run([options.program, "learn", folder / "train.csv", *flags, *options.flags], THREADS)


def answers(program, model, table, out):
    run([program, "predict", model, table, "--out", out], THREADS)
    return pd.read_csv(out, dtype=str, usecols=[0]).iloc[:, 0]


def ours(options, folder, test, response, seconds, seed):
    """Held-out score, seconds given for training, seconds of the whole command."""
    beside = learn(options, folder, response, 1, seed, folder / "short") - 1
    given = max(1.0, seconds - beside)
    whole = learn(options, folder, response, given, seed, folder / "model")
    said = answers(options.program, folder / "model", folder / "test.csv", folder / "answers.csv")
    written = {}  # equal numbers are one class to us, however they are written
    for name in test[response].unique():
        number = pd.to_numeric(pd.Series([name]), errors="coerce")[0]
        written[name if pd.isna(number) else f"{number:g}"] = name
    return score(False, [written.get(a, a) for a in said], test[response]), given, whole


def rows_per_second(program, folder, test, rows):
    """Of one thread, from file to file."""
    took = []
    for count in (1000, rows):
        path = folder / f"{count}.csv"
        pd.concat([test] * (count // len(test) + 1)).head(count).to_csv(path, index=False)
        command = [program, "predict", folder / "model", path, "--out", folder / "predicted.csv"]
        took.append(min(run(command, 1) for _ in range(3)))
    return (rows - 1000) / max(took[1] - took[0], 1e-9)


def compare(options, name):
    table, response = generated() if name == "generated" else read(options.tables, name)
    found = {"MLPClassifier": [], "early": [], "gatewright": []}
    rate = None
    for seed in range(options.seeds):
        train, test = split(table, response, seed, False)
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            train.to_csv(folder / "train.csv", index=False), test.to_csv(folder / "test.csv", index=False)
            plain, took = perceptron(train, test, response, seed)
            early, early_took = perceptron(train, test, response, seed, early_stopping=True)
            own, given, whole = ours(options, folder, test, response, took, seed)
            rate = rate or rows_per_second(options.program, folder, test.drop(columns=response), options.rows)
        for key, value in zip(found, (plain, early, own)):
            found[key].append(value)
        cells = [f"{own:.3f} ({given:.1f} s of {whole:.1f})", f"{plain:.3f} ({took:.1f} s)", f"{early:.3f} ({early_took:.1f} s)"]
        print(f"| {name} | {seed} | " + " | ".join(cells) + " | |", flush=True)
    means = {key: statistics.mean(values) for key, values in found.items()}
    holds = means["gatewright"] >= means["MLPClassifier"] and rate >= MOST_ROWS_PER_SECOND_MARK
    cells = [f"{means[key]:.3f}" for key in ("gatewright", "MLPClassifier", "early")]
    print(f"| {name} | mean | " + " | ".join(cells) + f" | {rate / 1e3:.0f} 000 rows a second; {'holds' if holds else 'missed'} |", flush=True)
    return holds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("tables", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="shuttle,generated")
    parser.add_argument("--rows", type=int, default=200000)
    parser.add_argument("flags", nargs="*", help="of learn, behind --")
    options = parser.parse_args()
    options.program = options.program.resolve()
    warnings.filterwarnings("ignore")
    print("| table | seed | gatewright learn (training of whole command) | MLPClassifier, defaults | with early stopping | |\n|---|---|---|---|---|---|", flush=True)
    held = [compare(options, name) for name in options.only.split(",")]
    return 0 if all(held) else 1


if __name__ == "__main__":
    # numpy and scikit-learn read it when they are loaded, so that it has to be there before.
    if os.environ.get("OMP_NUM_THREADS") != str(THREADS):
        os.environ.update({name: str(THREADS) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})
        os.execv(sys.executable, [sys.executable, *sys.argv])
    sys.exit(main())
