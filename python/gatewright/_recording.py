"""Recorded routes as the program's recorder writes them (docs/recording.md): batches, decisions, and
their bytes."""

from __future__ import annotations

import json
import os
import pathlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gatewright._crc32c import crc32c

MAGIC, VERSION = b"GWROUTES", 1
SITE, FRAME, DECISION = 1, 2, 3
PHASES = ("train", "validation", "test", "inference")
PURPOSES = ("clean", "attacked", "search")
MOST_TOKENS, MOST_BYTES = 1 << 24, 256 << 20
NONE, ONES, F32, F64 = range(4)  # weights of a decision


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varints(values: np.ndarray) -> bytes:
    if not len(values) or values.max() < 0x80:
        return values.astype(np.uint8).tobytes()
    return b"".join(varint(int(v)) for v in values)


def packed(values: np.ndarray) -> bytes:
    width = int(np.bitwise_or.reduce(values, initial=1)).bit_length()
    bits = (values[:, None] >> np.arange(width) & 1).astype(np.uint8)
    return bytes([width]) + np.packbits(bits, bitorder="little").tobytes()


def record(kind: int, payload: bytes) -> bytes:
    if len(payload) > MOST_BYTES:
        raise ValueError(
            f"recording: expected a record of at most {MOST_BYTES} bytes, got {len(payload)}; use "
            "smaller batches or "
            "leave the scores out"
        )
    body = bytes([kind]) + varint(len(payload)) + payload
    return body + crc32c(body).to_bytes(4, "little")


@dataclass
class Decision:
    """Who served whom in one layer: rows sorted by expert and then token."""

    site: str
    experts: int
    tokens: int
    expert: np.ndarray  # [N]
    token: np.ndarray  # [N]
    weight: np.ndarray | None = None  # [N]; None where none were recorded
    scores: np.ndarray | None = None  # [T, E] float32
    purpose: str = "clean"

    @classmethod
    def of_slots(cls, site: str, experts: int, slots: np.ndarray, weight=None, **more: Any) -> Decision:
        """slots and weight [T, K]; ids outside [0, E) are empty slots. Errors: ValueError for an expert
        that a token names twice, which the format has no word for."""
        tokens, k = slots.shape
        token = np.repeat(np.arange(tokens), k)
        expert = slots.reshape(-1).astype(np.int64)
        order = np.lexsort((token, expert))
        order = order[(expert[order] >= 0) & (expert[order] < experts)]
        rows, of = expert[order], token[order]
        if len(rows) > 1 and bool(((np.diff(rows) == 0) & (np.diff(of) == 0)).any()):
            raise ValueError(
                f"recording: expected distinct experts for each token, got one twice in {site!r}"
            )
        weight = None if weight is None else weight.reshape(-1)[order]
        return cls(site, experts, tokens, rows, of, weight, **more)

    def load(self) -> np.ndarray:
        """Rows of each expert [E]."""
        return np.bincount(self.expert, minlength=self.experts)

    def _placed(self, values: np.ndarray, empty) -> np.ndarray:
        """Values of the rows as [T, K], those of a token by ascending expert."""
        order = np.argsort(self.token, kind="stable")
        count = np.bincount(self.token, minlength=self.tokens)
        place = np.arange(len(order)) - (np.cumsum(count) - count)[self.token[order]]
        out = np.full((self.tokens, int(count.max()) if len(order) else 0), empty, values.dtype)
        out[self.token[order], place] = values[order]
        return out

    def slots(self) -> np.ndarray:
        """The experts of each token [T, K], ascending, −1 for an empty slot."""
        return self._placed(self.expert, -1)

    def slot_weights(self) -> np.ndarray:
        """Their weights [T, K], 0 in an empty slot. Errors: ValueError where none were recorded."""
        if self.weight is None:
            raise ValueError("recording: expected recorded weights, got none; record with weights=True")
        return self._placed(self.weight, 0)


@dataclass
class Frame:
    """One batch and its decisions, in their order."""

    phase: str = "inference"
    step: int = 0
    epoch: int = 0
    batch: int = 0
    labels: np.ndarray | None = None
    index: np.ndarray | None = None
    decisions: list[Decision] = field(default_factory=list)


def encode_frame(frame: Frame) -> bytes:
    numbers = [frame.step, frame.epoch, frame.batch]
    if min(numbers) < 0:
        raise ValueError(f"recording: expected step, epoch and batch of at least 0, got {numbers}")
    lists = [v for v in (frame.labels, frame.index) if v is not None and len(v)]
    flags = sum(f for f, v in ((1, frame.labels), (2, frame.index)) if v is not None and len(v))
    if any(len(v) != len(lists[0]) or v.min() < 0 or v.max() >= 1 << 40 for v in lists):
        raise ValueError("recording: expected labels and positions in [0, 2^40), as many of both")
    out = bytes([PHASES.index(frame.phase)]) + b"".join(map(varint, numbers)) + bytes([flags])
    return (
        out + (varint(len(lists[0])) if lists else b"") + b"".join(packed(v.astype(np.int64)) for v in lists)
    )


def encode_decision(site: int, d: Decision, weights: bool = False, scores: bool = False) -> bytes:
    if d.tokens > MOST_TOKENS:
        raise ValueError(f"recording: expected at most {MOST_TOKENS} tokens, got {d.tokens}")
    kind = NONE
    if d.weight is not None:
        kind = ONES if bool((d.weight == 1).all()) else NONE
        if kind == NONE and weights:
            kind = F64 if d.weight.dtype == np.float64 else F32
    rows, kept = len(d.expert), scores and d.scores is not None
    k = int(np.bincount(d.token, minlength=1).max()) if rows else 0
    lists = d.tokens * k * d.experts.bit_length() > 8 * (2 * rows + d.experts)
    out = [varint(site), bytes([PURPOSES.index(d.purpose), lists | kind << 1 | kept << 3])]
    out += [varint(d.tokens), varint(rows)]
    if lists:
        out.append(_lists(d))
    else:
        slots = d.slots()
        slots[slots < 0] = d.experts
        out += [varint(k), packed(slots.reshape(-1))]
    if kind in (F32, F64):
        out.append(d.weight.astype("<f4" if kind == F32 else "<f8").tobytes())
    if kept:
        out.append(d.scores.astype("<f4").tobytes())
    return b"".join(out)


def _lists(d: Decision) -> bytes:
    load = d.load()
    served = np.flatnonzero(load)
    out, at, last = [varint(len(served))], 0, -1
    for e in served.tolist():
        tokens = d.token[at : at + int(load[e])]
        at += int(load[e])
        out += [varint(e - last - 1), varint(len(tokens)), varints(np.diff(tokens, prepend=-1) - 1)]
        last = e
    return b"".join(out)


class Writer:
    """Appends frames to a recording. What is in a batch is written at once: a killed process loses at
    most that."""

    def __init__(self, path: str | os.PathLike[str], about: dict[str, Any], resume_after: int | None = None):
        self.path = pathlib.Path(path)
        self.sites: list[tuple[str, int]] = []
        if resume_after is not None and self.path.exists():
            from gatewright._recording_reader import cut_after

            self.sites = cut_after(self.path, resume_after)
        else:
            text = json.dumps(about, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
            head = MAGIC + VERSION.to_bytes(4, "little") + varint(len(text)) + text
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.path.with_name(self.path.name + ".tmp")
            with fresh.open("wb") as file:
                file.write(head + crc32c(head).to_bytes(4, "little"))
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self.path)
        self.file = self.path.open("ab", buffering=0)

    def write(self, frame: Frame, weights: bool = False, scores: bool = False) -> None:
        pieces = [record(FRAME, encode_frame(frame))]
        for d in frame.decisions:
            key = (d.site, d.experts)
            if key not in self.sites:
                self.sites.append(key)
                name = d.site.encode()[:256]
                pieces.append(record(SITE, varint(len(name)) + name + varint(d.experts)))
            number = self.sites.index(key)
            pieces.append(record(DECISION, encode_decision(number, d, weights, scores)))
        self.file.write(b"".join(pieces))

    def close(self) -> None:
        self.file.close()
