#!/usr/bin/env python3
"""`gatewright learn` beside scikit-learn's MLPClassifier and HistGradientBoosting and LightGBM, on the same rows.

Usage: bench/tables.py PROGRAM TABLES [--seeds N] [--only NAME,…]

PROGRAM is build/gatewright, TABLES the folder that tools/export_tables.py wrote. For each seed and table one split into 80 % and 20 %
is drawn here and written as two files. Every competitor trains on the first and answers for the second; scores are computed here,
from the answers, for all in the same way: share of classes told right, or root mean square error. Ours get the training file alone and
take validation and test rows of their own from it, so that they train on 64 to 76 % of what the others see.

Inputs of the others: numbers standardised for the perceptron, missing cells the mean with a column that says so; text one-hot (unseen
levels all 0); LightGBM and HistGradientBoosting get text as their own categorical columns and missing cells as they are. All at their
defaults, but for early stopping of the perceptron and 500 iterations. Seconds are those of training by the clock, reading included for
ours; two threads each.

The same seconds for both: bench/same_seconds.py.
"""

import argparse
import csv
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import pandas as pd

THREADS = 2
# name: (response, columns to leave out)
TABLES = {
    "vowel": ("Class", []),
    "pima": ("diabetes", []),
    "soybean": ("Class", []),
    "titanic": ("survived", ["boat", "body"]),  # known after the ship was lost
    "chess": ("class", []),
    "satellite": ("classes", []),
    "letters": ("lettr", []),
    "shuttle": ("Class", []),
    "diabetes": ("progression", []),
    "ozone": ("V4", []),
}
NUMBERS = {"diabetes", "ozone"}


def read(folder, name):
    response, left_out = TABLES[name]
    table = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False, na_values=["", "nan", "NA"])
    table = table.drop(columns=left_out)
    return table[table[response].notna()].reset_index(drop=True), response


def split(table, response, seed, numbers):
    rng = np.random.default_rng(seed)
    test = np.zeros(len(table), bool)
    groups = [np.arange(len(table))] if numbers else [np.flatnonzero(table[response] == c) for c in sorted(table[response].unique())]
    for group in groups:
        held = min(round(0.2 * len(group)), len(group) - 1)
        test[rng.permutation(group)[:held]] = True
    return table[~test].reset_index(drop=True), table[test].reset_index(drop=True)


def as_numbers(column):
    return pd.to_numeric(column, errors="coerce")


def is_number(column):
    present = column.dropna()
    return as_numbers(present).notna().all()


class Encoded:
    """One-hot and standardised numbers, from the training rows."""

    def __init__(self, train):
        self.parts = []
        for name in train.columns:
            column = train[name]
            if is_number(column):
                x = as_numbers(column)
                self.parts.append((name, None, x.mean(), x.std(ddof=0) or 1.0, column.isna().any()))
            else:
                levels = column.value_counts()
                self.parts.append((name, sorted(levels[levels >= 3].index[:100]), 0, 1, False))

    def __call__(self, table):
        out = []
        for name, levels, mean, deviation, missing in self.parts:
            column = table[name]
            if levels is None:
                x = as_numbers(column)
                out.append(((x - mean) / deviation).fillna(0).to_numpy()[:, None])
                if missing:
                    out.append(column.isna().to_numpy(float)[:, None])
            else:
                out.append((column.to_numpy()[:, None] == np.array(levels)[None, :]).astype(float))
        return np.hstack(out)


def categorical(train, test):
    """Numbers as they are, text as categories of the training rows."""
    frames = [pd.DataFrame(), pd.DataFrame()]
    for name in train.columns:
        if is_number(train[name]):
            columns = [as_numbers(t[name]) for t in (train, test)]
        else:
            kinds = pd.CategoricalDtype(sorted(train[name].dropna().unique())[:250])
            columns = [t[name].astype(kinds) for t in (train, test)]
        for frame, column in zip(frames, columns):
            frame[name.replace(".", "_")] = column
    return frames


def score(numbers, answer, truth):
    if numbers:
        return float(np.sqrt(np.mean((np.asarray(answer, float) - truth.astype(float).to_numpy()) ** 2)))
    return 100 * float(np.mean(np.asarray(answer, str) == truth.to_numpy(str)))


def ours(program, model, seed):
    def train(train_table, test_table, response, numbers, folder):
        paths = [folder / "train.csv", folder / "test.csv"]
        for path, table in zip(paths, (train_table, test_table)):
            table.to_csv(path, index=False)
        flags = ["--target", response, "--model", model, "--out", folder / model, "--seed", str(seed), "--shuffles", "0", "--quiet"]
        flags += ["--test-share", "0.05", "--task", "number" if numbers else "class"]
        began = time.perf_counter()
        subprocess.run([program, "learn", paths[0], *flags], check=True, stdout=subprocess.DEVNULL)
        took = time.perf_counter() - began
        subprocess.run([program, "predict", folder / model, paths[1], "--out", folder / "p.csv"], check=True, capture_output=True)
        with open(folder / "p.csv", newline="") as file:
            answers = [row[0] for row in list(csv.reader(file))[1:]]
        if not numbers:  # equal numbers are one class to us, however they are written
            written = {}
            for name in train_table[response]:
                written.setdefault(f"{float(name):g}" if as_numbers(pd.Series([name])).notna()[0] else name, name)
            answers = [written.get(a, a) for a in answers]
        return answers, took

    return train


def perceptron(seed):
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    def train(train_table, test_table, response, numbers, _):
        began = time.perf_counter()
        encode = Encoded(train_table.drop(columns=response))
        kind = MLPRegressor if numbers else MLPClassifier
        model = kind(early_stopping=True, max_iter=500, random_state=seed)
        y = train_table[response].astype(float) if numbers else train_table[response]
        mean, deviation = (y.mean(), y.std()) if numbers else (0, 1)
        model.fit(encode(train_table), (y - mean) / deviation if numbers else y)
        took = time.perf_counter() - began
        answer = model.predict(encode(test_table))
        return (answer * deviation + mean if numbers else answer), took

    return train


def boosting(seed):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    def train(train_table, test_table, response, numbers, _):
        began = time.perf_counter()
        x, x_test = categorical(train_table.drop(columns=response), test_table)
        kind = HistGradientBoostingRegressor if numbers else HistGradientBoostingClassifier
        model = kind(categorical_features="from_dtype", random_state=seed)
        model.fit(x, train_table[response].astype(float) if numbers else train_table[response])
        return model.predict(x_test), time.perf_counter() - began

    return train


def lightgbm(seed):
    import lightgbm

    def train(train_table, test_table, response, numbers, _):
        began = time.perf_counter()
        x, x_test = categorical(train_table.drop(columns=response), test_table)
        kind = lightgbm.LGBMRegressor if numbers else lightgbm.LGBMClassifier
        model = kind(random_state=seed, n_jobs=THREADS, verbose=-1)
        model.fit(x, train_table[response].astype(float) if numbers else train_table[response])
        return model.predict(x_test), time.perf_counter() - began

    return train


def compare(program, folder, names, seeds):
    header = ["table", "rows", "GG MoE", "MoE", "MLP (ours)", "MLP (scikit-learn)", "HistGradientBoosting", "LightGBM"]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header), flush=True)
    for name in names:
        table, response = read(folder, name)
        numbers = name in NUMBERS
        found = [([], []) for _ in header[2:]]
        for seed in range(seeds):
            train_table, test_table = split(table, response, seed, numbers)
            ways = [ours(program, model, seed) for model in ("gg_moe", "moe", "mlp")] + [perceptron(seed), boosting(seed), lightgbm(seed)]
            for (scores, times), way in zip(found, ways):
                with tempfile.TemporaryDirectory() as scratch:
                    answer, took = way(train_table, test_table, response, numbers, pathlib.Path(scratch))
                scores.append(score(numbers, answer, test_table[response]))
                times.append(took)
        cells = [f"{statistics.mean(s):.2f} ({statistics.median(t):.1f} s)" for s, t in found]
        print(f"| {name}{', rmse' if numbers else ''} | {len(table)} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("tables", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(TABLES))
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    compare(options.program, options.tables, options.only.split(","), options.seeds)


if __name__ == "__main__":
    sys.exit(main())
