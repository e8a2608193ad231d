"""Recorded routes read: every length checked before it is believed."""

from __future__ import annotations

import io
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from gatewright._crc32c import crc32c
from gatewright._recording import (
    DECISION,
    F32,
    F64,
    FRAME,
    MAGIC,
    MOST_BYTES,
    MOST_TOKENS,
    ONES,
    PHASES,
    PURPOSES,
    SITE,
    VERSION,
    Decision,
    Frame,
)


class _Bytes:
    """Takes from the front of a record. Errors: ValueError when it ends too early."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            left = len(self.data) - self.at
            raise ValueError(f"recording: expected {size} more bytes, got {left}; the file is damaged")
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self, most: int = (1 << 63) - 1) -> int:
        value = 0
        for shift in range(0, 63, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            value = most + 1
        if value > most:
            raise ValueError(f"recording: expected a number of at most {most}, got more; the file is damaged")
        return value

    def packed(self, count: int) -> np.ndarray:
        width = self.take(1)[0]
        if not 1 <= width <= 56:
            raise ValueError(f"recording: expected values of 1 to 56 bits, got {width}; the file is damaged")
        data = np.frombuffer(self.take((count * width + 7) // 8), np.uint8)
        bits = np.unpackbits(data, count=count * width, bitorder="little").reshape(count, width)
        return bits.astype(np.int64) @ (1 << np.arange(width, dtype=np.int64))

    def floats(self, count: int, kind: str) -> np.ndarray:
        return np.frombuffer(self.take(count * np.dtype(kind).itemsize), kind).copy()

    def finish(self) -> None:
        if self.at != len(self.data):
            raise ValueError("recording: expected the end of a record, got more bytes; the file is damaged")


def _decode_frame(payload: bytes) -> Frame:
    data = _Bytes(payload)
    phase = data.take(1)[0]
    step, epoch, batch = data.varint(), data.varint(), data.varint()
    flags = data.take(1)[0]
    if phase >= len(PHASES) or flags > 3:
        raise ValueError("recording: expected a known phase and known flags; the file is damaged or newer")
    count = data.varint(MOST_TOKENS) if flags else 0
    labels = data.packed(count) if flags & 1 else None
    index = data.packed(count) if flags & 2 else None
    data.finish()
    return Frame(PHASES[phase], step, epoch, batch, labels, index)


def _read_slots(data: _Bytes, tokens: int, experts: int) -> tuple[np.ndarray, np.ndarray]:
    k = data.varint(experts)
    if tokens * k > 8 * (len(data.data) - data.at):
        raise ValueError(f"recording: expected {k} experts for each of {tokens} tokens; the file is damaged")
    slots = data.packed(tokens * k).reshape(tokens, k)
    rising = (np.diff(slots, axis=1) > 0) | (slots[:, 1:] == experts)
    if (slots > experts).any() or not rising.all():
        raise ValueError("recording: expected ascending experts of a token; the file is damaged")
    token, place = np.nonzero(slots < experts)
    expert = slots[token, place]
    order = np.lexsort((token, expert))
    return expert[order], token[order]


def _read_lists(data: _Bytes, tokens: int, experts: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    expert, token, e = [], [], -1
    for _ in range(data.varint(experts)):
        e += 1 + data.varint(experts)
        count, t = data.varint(rows - len(expert)), -1
        for _ in range(count):
            t += 1 + data.varint(MOST_TOKENS)
            expert.append(e)
            token.append(t)
        if e >= experts or t >= tokens or count == 0:
            raise ValueError(f"recording: expected experts below {experts} and tokens below {tokens}")
    return np.array(expert, np.int64), np.array(token, np.int64)


def _decode_decision(payload: bytes, sites: list[tuple[str, int]]) -> Decision:
    data = _Bytes(payload)
    number = data.varint()
    if number >= len(sites):
        raise ValueError(f"recording: expected a site below {len(sites)}, got {number}; the file is damaged")
    name, experts = sites[number]
    purpose, flags = data.take(2)
    if purpose >= len(PURPOSES) or flags > 15:
        raise ValueError("recording: expected a known purpose and known flags; the file is damaged or newer")
    tokens = data.varint(MOST_TOKENS)
    rows = data.varint(tokens * experts)
    expert, token = (
        _read_lists(data, tokens, experts, rows) if flags & 1 else _read_slots(data, tokens, experts)
    )
    if len(expert) != rows:
        raise ValueError(f"recording: expected {rows} rows, got {len(expert)}; the file is damaged")
    kind = flags >> 1 & 3
    weight = np.ones(rows, np.float32) if kind == ONES else None
    if kind in (F32, F64):
        weight = data.floats(rows, "<f4" if kind == F32 else "<f8")
    scores = data.floats(tokens * experts, "<f4").reshape(tokens, experts) if flags & 8 else None
    data.finish()
    return Decision(name, experts, tokens, expert, token, weight, scores, PURPOSES[purpose])


def _decode_site(payload: bytes) -> tuple[str, int]:
    data = _Bytes(payload)
    name = data.take(data.varint(256)).decode("utf-8", "replace")
    site = (name, data.varint(1 << 24))
    data.finish()
    if site[1] < 1:
        raise ValueError(f"recording: expected at least one expert at {name!r}; the file is damaged")
    return site


class Reader:
    """Goes through a recording record by record; memory grows with one batch, not with the file."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        self.sites: list[tuple[str, int]] = []
        self.lost_bytes = 0
        with open(path, "rb") as file:
            start = file.read(22)
            if start[:8] != MAGIC:
                raise ValueError(
                    f"recording {self.path}: expected a file of recorded routes, got another beginning; "
                    "give the "
                    "routes.bin of a run"
                )
            head = _Bytes(start[8:])
            version = int.from_bytes(head.take(4), "little")
            if version != VERSION:
                raise ValueError(f"recording {self.path}: expected version {VERSION}, got {version}")
            length = head.varint(1 << 20)
            file.seek(0)
            whole = file.read(8 + head.at + length)
            if int.from_bytes(file.read(4), "little") != crc32c(whole):
                raise ValueError(f"recording {self.path}: its description is damaged")
            self.about: dict[str, Any] = json.loads(whole[8 + head.at :])
            self.begin = file.tell()

    def records(self, file: io.BufferedReader) -> Iterator[tuple[int, bytes, int]]:
        """(type, payload, where it ends) up to the first record that is not whole."""
        size = os.fstat(file.fileno()).st_size
        at = self.begin
        while True:
            file.seek(at)
            self.lost_bytes = size - at
            head = file.read(11)
            length, used = _length(head)
            if used == 0 or length > MOST_BYTES or at + used + length + 4 > size:
                return
            file.seek(at)
            body, check = file.read(used + length), file.read(4)
            if crc32c(body) != int.from_bytes(check, "little"):
                return
            at += used + length + 4
            yield body[0], body[used:], at

    def __iter__(self) -> Iterator[Frame]:
        frame: Frame | None = None
        self.sites = []
        with open(self.path, "rb") as file:
            for kind, payload, _ in self.records(file):
                if kind == SITE:
                    self.sites.append(_decode_site(payload))
                elif kind == FRAME:
                    if frame is not None:
                        yield frame
                    frame = _decode_frame(payload)
                elif kind == DECISION:
                    frame = frame or Frame()
                    frame.decisions.append(_decode_decision(payload, self.sites))
                else:
                    raise ValueError(f"recording {self.path}: expected a record of type 1 to 3, got {kind}")
        if frame is not None:
            yield frame


def _length(head: bytes) -> tuple[int, int]:
    """(length of the payload, bytes before it), (0, 0) where the file ends in them."""
    value = 0
    for i, byte in enumerate(head[1:]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, i + 2
        if i > 4:
            return MOST_BYTES + 1, i + 2
    return 0, 0


def cut_after(path: pathlib.Path, step: int) -> list[tuple[str, int]]:
    """Cuts a recording behind the last batch of training or validation up to `step`; returns the sites
    that stay."""
    reader, sites = Reader(path), []
    end = reader.begin
    with path.open("rb") as file:
        for kind, payload, after in reader.records(file):
            if kind == SITE:
                sites.append(_decode_site(payload))
            elif kind == FRAME:
                frame = _decode_frame(payload)
                if frame.step > step or frame.phase in ("test", "inference"):
                    break
            end = after
    os.truncate(path, end)
    return sites
