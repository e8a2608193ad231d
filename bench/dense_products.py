#!/usr/bin/env python3
"""What PyTorch's dense products reach at the sizes of one expert's: the neighbour of `gatewright bench`'s mixtures.

A product has no gather, activation or scatter, so a mixture layer of the same rows per expert can at best come near it. Needs torch
(measured with 2.13.0, CPU build); weights of four sets in turns, warm, median of the rounds.

    python3 bench/dense_products.py --threads 2
"""
import argparse
import time

import torch

# rows, k, columns: rows per expert at T = 2048 of M, O, Q with their gate and up products side by side; then larger ones.
SIZES = [(512, 1024, 7168), (256, 2048, 2048), (128, 2048, 1536), (2048, 1024, 7168), (4096, 4096, 4096)]


def seconds(product, rounds):
    times = []
    for turn in range(rounds + 2):
        start = time.perf_counter()
        product(turn)
        times.append(time.perf_counter() - start)
    return sorted(times[2:])[rounds // 2]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, {given.threads} threads, GFLOP/s")
    print(f"{'rows':>5} {'k':>5} {'columns':>7} {'f32':>6} {'bf16':>6}")
    for rows, k, columns in SIZES:
        rates = []
        for dtype in (torch.float32, torch.bfloat16):
            weights = [torch.randn(columns, k, dtype=dtype) for _ in range(4)]
            x = torch.randn(rows, k, dtype=dtype)
            time_s = seconds(lambda turn: torch.nn.functional.linear(x, weights[turn % 4]), given.rounds)
            rates.append(2 * rows * k * columns / time_s / 1e9)
        print(f"{rows:>5} {k:>5} {columns:>7} {rates[0]:>6.0f} {rates[1]:>6.0f}")


if __name__ == "__main__":
    main()
