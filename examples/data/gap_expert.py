#!/usr/bin/env python3
"""An expert for `composition`: fills gaps in text by what followed the characters before them in its files.

Usage: gap_expert.py [--order N] [--part SHARE] [--most N] [--fail KIND --every N] FILE…

Reads lines {"id": n, "text": "… ▁ …"} and answers {"id": n, "answer": "the hidden characters"} on one line each. It learns from
the first SHARE of every file, at most N characters of it, when the first question comes. --fail spoils every N-th answer, so that
somebody can see what happens then: hang, die, nonsense, long (a line without end), wrong (another question's number).
"""
import argparse
import collections
import json
import sys
import time

GAP = "\u2581"


def text_of(path, part, most):
    with open(path, "rb") as file:
        raw = file.read()
    text = "".join(chr(b) if 32 <= b <= 126 or b in (9, 10) else "?" for b in raw[: int(part * len(raw))])
    return text[-most:] if most else text


def learn(texts, order):
    """For each run of at most `order` characters the character that followed it most often; ties go to the lower."""
    best = {}
    for n in range(order + 1):
        seen = collections.Counter()
        for text in texts:
            seen.update(text[i : i + n + 1] for i in range(len(text) - n))
        top = {}
        for run, count in seen.items():
            before, last = run[:-1], run[-1]
            if before not in top or (-count, last) < top[before]:
                top[before] = (-count, last)
        best.update((before, last) for before, (_, last) in top.items())
    return best


def fill(text, best, order):
    done, answer = [], []
    for c in text:
        if c == GAP:
            for n in range(min(order, len(done)), -1, -1):
                guess = best.get("".join(done[len(done) - n :]))
                if guess is not None:
                    break
            c = guess or " "
            answer.append(c)
        done.append(c)
    return "".join(answer)


def spoil(kind, number):
    if kind == "hang":
        time.sleep(3600)
    if kind == "die":
        sys.exit(3)
    if kind == "long":
        print("x" * 200000, flush=True)
    if kind == "nonsense":
        print("I would rather not say", flush=True)
    if kind == "wrong":
        print(json.dumps({"id": number + 1, "answer": "?"}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--order", type=int, default=4)
    parser.add_argument("--part", type=float, default=0.6)
    parser.add_argument("--most", type=int, default=0)
    parser.add_argument("--fail", choices=["hang", "die", "nonsense", "long", "wrong"])
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    best = None
    for asked, line in enumerate(sys.stdin, start=1):
        if best is None:
            best = learn([text_of(path, options.part, options.most) for path in options.files], options.order)
        question = json.loads(line)
        if options.fail and asked % options.every == 0:
            spoil(options.fail, question["id"])
            continue
        print(json.dumps({"id": question["id"], "answer": fill(question["text"], best, options.order)}), flush=True)


if __name__ == "__main__":
    main()
