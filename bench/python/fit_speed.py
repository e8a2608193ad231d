#!/usr/bin/env python3
"""A fit through Python beside the command line's, and beside R's flexmix where that is installed.

Usage: bench/python/fit_speed.py PROGRAM [ROWS] [ROUNDS]

n rows, 4 columns, 4 experts, one start, no replacements. Answers are checked first: the model files are equal to the byte.
Times of the fit alone: the command line's is its whole time less that of reading the same table for one expert of the same
iterations' start-up, measured as `gatewright fit` with one iteration; Python's is that of `fit` on arrays.
"""
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from gatewright import likelihood

R_SCRIPT = """
suppressMessages(library(flexmix))
d <- read.csv("{path}")
t <- system.time(m <- flexmix(y ~ x0 + x1 + x2 + x3, data = d, k = 4, concomitant = FLXPmultinom(~ x0 + x1 + x2 + x3),
                 control = list(iter.max = {iterations}, tolerance = 0, minprior = 0), cluster = 1 + (rank(d$y) * 4 - 1) %/% nrow(d) %% 4))
cat(t[["elapsed"]], logLik(m), m@iter, "\\n")
"""


def sample(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4))
    score = x @ rng.standard_normal((4, 4)) * 2
    expert = (score + rng.gumbel(size=(n, 4))).argmax(axis=1)
    lines = rng.standard_normal((4, 5)) * 3
    y = lines[expert, 0] + (x * lines[expert, 1:]).sum(axis=1) + 0.5 * rng.standard_normal(n)
    return x, y


def timed(call):
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def command(program, path, out, iterations):
    return [program, "fit", path, "--response", "y", "--experts", "4", "--starts", "1", "--replacements", "0", "--iterations", str(iterations), "--quiet",
            "--out", out]


def main(program, rows=100000, rounds=5):
    x, y = sample(rows)
    folder = pathlib.Path(tempfile.mkdtemp())
    path, out = str(folder / "table.csv"), str(folder / "theirs.json")
    with open(path, "w") as table:
        table.write("y,x0,x1,x2,x3\n")
        table.writelines(",".join(map(repr, row)) + "\n" for row in np.column_stack([y, x]).tolist())
    options = dict(experts=4, starts=1, replacements=0)
    ours = likelihood.fit(x, y, **options)
    subprocess.run(command(program, path, out, 2000), check=True, capture_output=True)
    ours.save(folder / "ours.json")
    assert (folder / "ours.json").read_bytes() == pathlib.Path(out).read_bytes(), "the two fits differ"
    few = dict(options, iterations=1)
    times = {"python": [], "python, 1 iteration": [], "program": [], "program, 1 iteration": []}
    for _ in range(rounds):
        times["python"].append(timed(lambda: likelihood.fit(x, y, **options))[0])
        times["python, 1 iteration"].append(timed(lambda: likelihood.fit(x, y, **few))[0])
        times["program"].append(timed(lambda: subprocess.run(command(program, path, out, 2000), check=True, capture_output=True))[0])
        times["program, 1 iteration"].append(timed(lambda: subprocess.run(command(program, path, out, 1), check=True, capture_output=True))[0])
    for name, list_ in times.items():
        print(f"{name:22} median {statistics.median(list_):.3f} s, {min(list_):.3f} … {max(list_):.3f}")
    base = {name: statistics.median(list_) for name, list_ in times.items()}
    ours_s, theirs_s = base["python"] - base["python, 1 iteration"], base["program"] - base["program, 1 iteration"]
    print(f"n {rows}, {ours.description['fit']['iterations']} iterations beyond the first: python {ours_s:.3f} s, program {theirs_s:.3f} s, ratio {ours_s / theirs_s:.3f}")
    if shutil.which("Rscript"):
        script = R_SCRIPT.format(path=path, iterations=ours.description["fit"]["iterations"])
        done = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True)
        print("flexmix (s, log-likelihood, iterations):", done.stdout or done.stderr)
        print(f"log-likelihood here: {ours.log_likelihood:.2f}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
