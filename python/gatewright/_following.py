"""What a running recipe does: its lines of progress taken apart, its metrics.jsonl read as it grows,
callbacks called."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

BAR = "█▏▎▍▌▋▊▉·"
LINE = re.compile(
    rf"(?P<label>.*?) +(?:[{BAR}]+ +)?\d+ % (?P<done>\d+)/(?P<total>\d+)"
    r"(?:  (?P<rate>[\d.]+) (?P<unit>\S+/s|s/\S+))?(?:  (?P<left>[\d:]+) left)?(?:  (?P<note>.*))?"
)


class Callback:
    """What train() and check() tell of a run. Override what you need; a plain function stands for
    on_progress.

    Raising KeyboardInterrupt (or anything else) in one stops the program, which saves first.
    """

    def on_start(self, label: str) -> None:
        """`label`: what is running now: "mixture seed 0", "mixture evaluation"."""

    def on_progress(
        self, step: int, total: int, rate: float | None, left: float | None, losses: dict[str, float]
    ) -> None:
        """At most some ten times a second, and at the end of each label. rate: units a second (steps, or
        examples of an evaluation); left: seconds; losses: of the last step that metrics.jsonl has."""

    def on_end(self, label: str) -> None:
        """`label` is done."""


class _Function(Callback):
    def __init__(self, function: Callable[..., Any]) -> None:
        self.on_progress = function  # type: ignore[method-assign]


class Lines(Callback):
    """Progress as plain lines on standard error, at most one in two seconds."""

    def __init__(self) -> None:
        self.label, self.said_s = "", 0.0

    def on_start(self, label: str) -> None:
        self.label, self.said_s, self.last = label, 0.0, ""

    def on_progress(self, step, total, rate, left, losses) -> None:
        import time

        speed = "" if rate is None else f"  {rate:.3g}/s"
        rest = "" if left is None else f"  {left:.0f} s left"
        loss = "".join(f"  {name} {value:.4g}" for name, value in losses.items())
        self.last = f"{self.label}  {step}/{total}{speed}{rest}{loss}"
        if time.monotonic() - self.said_s > 2:
            self.said_s = time.monotonic()
            print(self.last, file=sys.stderr)
            self.last = ""

    def on_end(self, label: str) -> None:
        if self.last:
            print(self.last, file=sys.stderr)


class Bars(Callback):
    """Progress as bars of tqdm, in notebooks and terminals."""

    def __init__(self) -> None:
        from tqdm.auto import tqdm

        self.make, self.bar = tqdm, None

    def on_start(self, label: str) -> None:
        self.bar = self.make(total=None, desc=label)

    def on_progress(self, step, total, rate, left, losses) -> None:
        self.bar.total = total
        self.bar.update(step - self.bar.n)
        self.bar.set_postfix({name: f"{value:.4g}" for name, value in losses.items()}, refresh=False)

    def on_end(self, label: str) -> None:
        self.bar.close()


def shown(progress: bool | None) -> list[Callback]:
    """None: bars where tqdm is installed, else lines; False: nothing."""
    if progress is False:
        return []
    try:
        return [Bars()]
    except ImportError:
        return [Lines()]


def seconds(clock: str) -> float:
    """ "3:05:00" → 11100."""
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return float(total)


class Tail:
    """The lines that a metrics.jsonl gains, read where the last reading ended."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path, self.at, self.losses = path, 0, {}

    def read(self) -> dict[str, float]:
        """The losses of the newest training record."""
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            file.seek(self.at)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self.at += len(whole)
            for line in reversed(whole.splitlines()):
                record = json.loads(line)
                if record.get("kind") == "train":
                    self.losses = _losses(record)
                    break
        return self.losses


def _losses(record: dict[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in record.items()
        if name.endswith("loss") and isinstance(value, (int, float))
    }


class Following:
    """Calls callbacks as a program's lines come in. `folder`: the run directory of (arm, seed)."""

    def __init__(
        self,
        callbacks: Sequence[Callback | Callable[..., Any]],
        folder: Callable[[str, int], pathlib.Path] | None = None,
        say: bool = True,
    ) -> None:
        self.callbacks = [c if hasattr(c, "on_progress") else _Function(c) for c in callbacks]
        self.folder, self.say = folder, say
        self.label: str | None = None
        self.tail: Tail | None = None

    def hear(self, line: str) -> None:
        found = LINE.fullmatch(line)
        if found is None:
            if self.say and not line.startswith("gatewright: "):
                print(line, file=sys.stderr)
            return
        first = self._turn_to(found["label"].strip())
        step, total = int(found["done"]), int(found["total"])
        rate = float(found["rate"]) if found["rate"] else None
        if rate and found["unit"].startswith("s/"):
            rate = 1 / rate
        left = seconds(found["left"]) if found["left"] else None
        if first:  # over the microseconds since it was started, which says nothing
            rate = left = None
        losses = self._losses(found["note"] or "")
        for callback in self.callbacks:
            callback.on_progress(step, total, rate, left, losses)

    def _turn_to(self, label: str) -> bool:
        """Whether this is the first line of it."""
        if label == self.label:
            return False
        self.end()
        self.label, self.tail = label, None
        run = re.fullmatch(r"(\S+) seed (\d+)", label)
        if run and self.folder:
            self.tail = Tail(self.folder(run[1], int(run[2])) / "metrics.jsonl")
        self._tell("on_start")
        return True

    def _losses(self, note: str) -> dict[str, float]:
        losses = self.tail.read() if self.tail else {}
        said = re.search(r"\bloss (-?[\d.]+(?:e[+-]?\d+)?)", note)
        return losses or ({"loss": float(said[1])} if said else {})

    def _tell(self, what: str) -> None:
        for callback in self.callbacks:
            getattr(callback, what, lambda label: None)(self.label)

    def end(self) -> None:
        if self.label is not None:
            self._tell("on_end")
            self.label = None
