#!/usr/bin/env python3
"""Writes gatewright/text/template/character_tables.cpp: cases and what repr() shows, as Python's unicodedata has them.

    python3 tools/make_character_tables.py          (the committed file is of Python 3.11, Unicode 14)
"""
import pathlib
import textwrap
import unicodedata

TARGET = pathlib.Path(__file__).resolve().parent.parent / "gatewright/text/template/character_tables.cpp"
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def runs(value_of):
    """(first, last, stride, value) of code points at equal distances that have the same value; None: no entry."""
    found = []
    for point in POINTS:
        value = value_of(point)
        if value is None:
            continue
        if found:
            first, last, stride, before = found[-1]
            if before == value and (point - last == stride or (first == last and point - last == 2)):
                found[-1] = (first, point, point - last, before)
                continue
        found.append((point, point, 1, value))
    return found


def shift(change):
    def value(point):
        changed = change(chr(point))
        return ord(changed) - point if len(changed) == 1 and changed != chr(point) else None
    return value


def table(kind, name, entries):
    body = textwrap.fill(", ".join(entries), 106, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return f"const {kind} {name}[{len(entries)}] = {{\n{body}}};\n"


def spelled(text):
    return '"' + "".join(f"\\{byte:03o}" for byte in text.encode()) + '"'


def shifts(change):
    return [f"{{{first:#x},{last:#x},{stride},{delta}}}" for first, last, stride, delta in runs(shift(change))]


upper, lower = shifts(str.upper), shifts(str.lower)
longer = [f"{{{point:#x},{spelled(chr(point).upper())}}}" for point in POINTS if len(chr(point).upper()) > 1]
hidden = [f"{{{first:#x},{last:#x}}}" for first, last, stride, _ in
          (run for run in runs(lambda c: None if chr(c).isprintable() else 0)) for first, last in
          ([(first, last)] if stride == 1 else [(c, c) for c in range(first, last + 1, stride)])]
TARGET.write_text(f"""// Written by tools/make_character_tables.py from Unicode {unicodedata.unidata_version}: do not edit.
#include "gatewright/text/template/character_tables.h"

// clang-format off
namespace gw::inline text::jinja {{

{table("CaseRun", "kUpperRuns", upper)}
{table("CaseRun", "kLowerRuns", lower)}
{table("LongerUpper", "kLongerUpper", longer)}
{table("HiddenRun", "kHiddenRuns", hidden)}
}}  // namespace gw::inline text::jinja
""")
header = TARGET.with_suffix(".h")
header.write_text(f"""#pragma once
// Written by tools/make_character_tables.py with the tables: do not edit.
#include <cstdint>

namespace gw::inline text::jinja {{

struct CaseRun {{
  char32_t first, last;
  uint32_t stride;
  int32_t shift;  ///< to the other case
}};
struct LongerUpper {{
  char32_t point;
  const char* upper;  ///< more than one character, UTF-8
}};
struct HiddenRun {{
  char32_t first, last;
}};

extern const CaseRun kUpperRuns[{len(upper)}];
extern const CaseRun kLowerRuns[{len(lower)}];
extern const LongerUpper kLongerUpper[{len(longer)}];
extern const HiddenRun kHiddenRuns[{len(hidden)}];  ///< what repr() writes as \\x…, \\u… or \\U…

}}  // namespace gw::inline text::jinja
""")
