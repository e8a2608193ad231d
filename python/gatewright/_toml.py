"""Values as the program reads them: TOML, as recipes and --set have it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

Overrides = Mapping[str, Any] | Iterable[str]


def key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else text(name)


def text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def value(given: Any, where: str = "value") -> str:
    """One value on one line. Errors: ValueError for what TOML has no word for (None, functions, tensors)."""
    if hasattr(given, "item") and getattr(given, "ndim", 0) == 0:
        given = given.item()  # a number of numpy or torch
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int):
        return str(given)
    if isinstance(given, float):
        return (
            repr(given) if "e" not in repr(given) or "." in repr(given) else repr(given).replace("e", ".0e")
        )
    if isinstance(given, (str, os.PathLike)):
        return text(os.fspath(given))
    if isinstance(given, Mapping):
        items = (f"{key(str(k))} = {value(v, f'{where}.{k}')}" for k, v in given.items())
        return "{ " + ", ".join(items) + " }" if given else "{}"
    if isinstance(given, (list, tuple)):
        return "[" + ", ".join(value(v, where) for v in given) + "]"
    raise ValueError(
        f"gatewright: expected numbers, texts, lists and tables in {where}, got {type(given).__name__}"
    )


def document(table: Mapping[str, Any], prefix: str = "") -> str:
    """A table as a file: values first, then tables, then lists of tables."""
    plain, tables = [], []
    for name, item in table.items():
        path = prefix + key(str(name))
        many = isinstance(item, (list, tuple)) and item and all(isinstance(v, Mapping) for v in item)
        if isinstance(item, Mapping):
            tables.append(f"\n[{path}]\n" + document(item, path + "."))
        elif many:
            tables += [f"\n[[{path}]]\n" + "".join(_pairs(v, path)) for v in item]
        else:
            plain += _pairs({name: item}, path)
    return "".join(plain + tables)


def _pairs(table: Mapping[str, Any], where: str) -> list[str]:
    return [f"{key(str(name))} = {value(item, where)}\n" for name, item in table.items()]


def overrides(given: Overrides) -> list[str]:
    """{"objective.beta": 1, "clip": {"router": 1.0}} or ["objective.beta=1", …] as the arguments of
    --set; tables are merged as those of recipes are."""
    if isinstance(given, Mapping):
        return [f"{name}={value(item, str(name))}" for name, item in given.items()]
    if isinstance(given, str):
        return [given]
    found = list(given)
    for one in found:
        if not isinstance(one, str) or "=" not in one:
            raise ValueError(f'gatewright: expected overrides as "name=value" or a dict, got {one!r}')
    return found
