#!/usr/bin/env python3
"""Draws docs/hard-routing.svg from the numbers of a check: the published evaluation beside the worst case, by arm.

Usage: tools/make_hard_routing_figure.py runs/check-hard_routing-small [OUT]
"""
import html
import json
import pathlib
import sys

WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 720, 290, 50, 46, 46, 15
COLOURS = {"robust.published": "#e08214", "robust_accuracy": "#2166ac"}
NAMES = {"robust.published": "published evaluation", "robust_accuracy": "worst case"}


def measured(check):
    """arm's title → metric → mean over its seeds, in %"""
    document = json.loads((check / "check.json").read_text(encoding="utf-8"))
    return {arm["title"]: {metric: 100 * arm["metrics"][metric]["mean"] for metric in NAMES} for arm in document["arms"]}


def drawing(means):
    height = TOP + ROW * len(means) + 30
    scale = (WIDTH - LEFT - RIGHT) / 100
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>']
    x = LEFT
    for metric in NAMES:
        out.append(f'<rect x="{x}" y="14" width="12" height="12" fill="{COLOURS[metric]}"/><text x="{x + 18}" y="25">{NAMES[metric]}</text>')
        x += 190
    for tick in range(0, 101, 20):
        at = LEFT + tick * scale
        out.append(f'<line x1="{at:.1f}" y1="{TOP - 6}" x2="{at:.1f}" y2="{height - 26}" stroke="#dddddd"/>'
                   f'<text x="{at:.1f}" y="{height - 10}" text-anchor="middle" fill="#555555">{tick} %</text>')
    for row, (title, values) in enumerate(means.items()):
        y = TOP + ROW * row
        out.append(f'<text x="{LEFT - 10}" y="{y + BAR + 5}" text-anchor="end">{html.escape(title)}</text>')
        for number, metric in enumerate(NAMES):
            end, top = values[metric] * scale, y + number * (BAR + 2)
            out.append(f'<rect x="{LEFT}" y="{top}" width="{end:.1f}" height="{BAR}" fill="{COLOURS[metric]}"/>'
                       f'<text x="{LEFT + end + 5:.1f}" y="{top + BAR - 3}">{values[metric]:.1f}</text>')
    return "\n".join([*out, "</svg>", ""])


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).parents[1] / "docs" / "hard-routing.svg")
    target.write_text(drawing(measured(pathlib.Path(sys.argv[1]))), encoding="utf-8")
