#!/usr/bin/env python3
"""A fit through Python beside the command line's, and beside R's flexmix where that is installed.

Usage: bench/python/fit_speed.py PROGRAM [ROWS] [ROUNDS]

n rows, 4 columns, 4 experts, one start, no replacements. Answers are checked first: the model files
are equal to the byte. What is compared is the time beyond that of a fit of one expert in the same
way, which has start, reading and writing in it.
"""

import pathlib
import resource
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
d <- read.csv("PATH")
start <- 1 + (rank(d$y) * 4 - 1) %/% nrow(d) %% 4
gate <- FLXPmultinom(~ x0 + x1 + x2 + x3)
t <- system.time(m <- flexmix(y ~ x0 + x1 + x2 + x3, data = d, k = 4, concomitant = gate, cluster = start,
                              control = list(iter.max = ITERATIONS, tolerance = 0, minprior = 0)))
cat(t[["user.self"]], logLik(m), m@iter, "\\n")
"""


def sample(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4))
    score = x @ rng.standard_normal((4, 4)) * 2
    expert = (score + rng.gumbel(size=(n, 4))).argmax(axis=1)
    lines = rng.standard_normal((4, 5)) * 3
    y = lines[expert, 0] + (x * lines[expert, 1:]).sum(axis=1) + 2 * rng.standard_normal(n)
    return x, y


def command(program, path, out, experts):
    flags = ["--response", "y", "--starts", "1", "--replacements", "0", "--quiet", "--out"]
    return [program, "fit", path, *flags, out, "--experts", str(experts)]


def cpu(call):
    """Processor seconds of this process and its children, and wall seconds."""
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    began = time.perf_counter()
    call()
    wall = time.perf_counter() - began
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    used = sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True))
    return used, wall


def write(path, x, y):
    with open(path, "w") as table:
        table.write("y,x0,x1,x2,x3\n")
        table.writelines(",".join(map(repr, row)) + "\n" for row in np.column_stack([y, x]).tolist())


def per_iteration(x, y):
    """Processor seconds of one of our iterations at most: those of a whole fit over the iterations it is
    known to make, six short runs of 20 and one to the end. Starts and standard errors are in it."""
    began = time.process_time()
    fitted = likelihood.fit(x, y, experts=4, starts=1, start="small_em", replacements=0)
    return (time.process_time() - began) / (6 * 20 + fitted.description["fit"]["iterations"])


def flexmix(path, few=3):
    """Processor seconds of one iteration of flexmix: those of a few less those of one."""
    times = []
    for iterations in (1, few):
        script = R_SCRIPT.replace("PATH", path).replace("ITERATIONS", str(iterations))
        done = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=True)
        times.append([float(word) for word in done.stdout.split()])
    return (times[1][0] - times[0][0]) / (times[1][2] - times[0][2])


def main(program, rows=100000, rounds=5):
    x, y = sample(rows)
    folder = pathlib.Path(tempfile.mkdtemp())
    path, out = str(folder / "table.csv"), str(folder / "theirs.json")
    write(path, x, y)
    options = {"experts": 4, "starts": 1, "replacements": 0}
    ours = likelihood.fit(x, y, **options)
    subprocess.run(command(program, path, out, 4), check=True, capture_output=True)
    ours.save(folder / "ours.json")
    assert (folder / "ours.json").read_bytes() == pathlib.Path(out).read_bytes(), "the two fits differ"
    calls = {
        "python": lambda: likelihood.fit(x, y, **options),
        "python, one expert": lambda: likelihood.fit(x, y, experts=1, starts=1),
        "program": lambda: subprocess.run(command(program, path, out, 4), check=True, capture_output=True),
        "program, one expert": lambda: subprocess.run(
            command(program, path, out, 1), check=True, capture_output=True
        ),
    }
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(cpu(call))
    for at, what in enumerate(("processor", "wall")):
        median = {name: statistics.median(pair[at] for pair in pairs) for name, pairs in times.items()}
        for name, pairs in times.items():
            spread = sorted(pair[at] for pair in pairs)
            print(f"{what:9} {name:20} median {median[name]:.3f} s, {spread[0]:.3f} … {spread[-1]:.3f}")
        ratio = (median["python"] - median["python, one expert"]) / (
            median["program"] - median["program, one expert"]
        )
        print(f"{what:9} python / program, each less its fit of one expert: {ratio:.3f}")
    if shutil.which("Rscript"):
        here, there = per_iteration(x, y), flexmix(path)
        print(
            f"an iteration: {here * 1e3:.1f} ms here at most, {there * 1e3:.0f} in flexmix: "
            f"ratio {there / here:.0f}"
        )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
