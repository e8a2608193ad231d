#!/usr/bin/env python3
"""Keeps files and functions within the budgets of docs/architecture.md.

Usage: tools/check_budgets.py [ROOT]     exit code 0: all within, 1: problems (one per line), 2: no such tree

An exception is a line of tools/budgets.txt: `path limit reason` for a file, `path:function limit reason` for a function.
One that is no longer needed is a problem too, so that the list cannot rot.
"""
import pathlib
import re
import sys

from floors import HOME, floor_of, is_part, read_lines, report, sources

CATALOGUE_LINES, SOURCE_LINES, HEADER_LINES = 200, 400, 200
FUNCTION_LINES, KERNEL_FUNCTION_LINES = 40, 120
COLUMNS = 110  # of a line of code; the text of a raw string may be wider
COMMENT_SHARE = (0.06, 0.30)  # of the floors together; the aim is 10-25 %

TOKENS = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'|^[ \t]*#(?:\\\n|[^\n])*',
    re.S | re.M,
)
NOT_FUNCTION = re.compile(r"^\s*(?:template\s*<[^;]*>\s*)?(?:namespace|class|struct|enum|union|extern)\b")
BODY_FOLLOWS = re.compile(r"(?:\)|\bconst|\bnoexcept|\boverride|\bfinal|\btry|&|\brequires\b[^;]*|->[^;(]*)\s*$")


def without_text(code):
    """The code with comments, strings and preprocessor lines blanked, line breaks kept."""
    return TOKENS.sub(lambda found: re.sub(r"[^\n]", " ", found[0]) or " ", code)


def opens_function(header):
    """Whether the text before a brace at namespace or class scope is the head of a function (or a TEST)."""
    if "(" not in header or NOT_FUNCTION.match(header):
        return False
    return bool(BODY_FOLLOWS.search(header)) or bool(re.search(r"\)\s*:\s[^;]*[)}]\s*$", header))


def function_name(header):
    found = re.search(r"(operator\s*\S+?|~?\w+(?:::~?\w+)*)\s*\(([^)]*)", header)
    if not found:
        return "?"
    return f"{found[1]}({found[2]})" if found[1].startswith("TEST") else found[1]


def functions(code):
    """(name, first line, number of lines) of every function, from its head (template line included) to its closing brace."""
    code = without_text(code)
    stack, header, header_line, line = [], "", 1, 1
    for character in code:
        if character == "\n":
            line += 1
        if character == "{":
            in_body = any(kind == "body" for kind, *_ in stack)
            scope = all(kind == "scope" for kind, *_ in stack)
            if in_body:
                kind = "inner"
            elif scope and opens_function(header):
                kind = "body"
            elif scope and (NOT_FUNCTION.match(header) or not header.strip()):
                kind = "scope"
            else:
                kind = "value"  # an initialiser: the header goes on after it
            stack.append((kind, function_name(header), header_line))
            header = "" if kind in ("body", "scope") else header + "{"
        elif character == "}" and stack:
            kind, name, first = stack.pop()
            if kind == "body":
                yield name, first, line - first + 1
            header = header + "}" if kind == "value" else ""
        elif character == ";" and not any(kind == "value" for kind, *_ in stack):
            header = ""
        else:
            if not header.strip() and not character.isspace():
                header, header_line = "", line
            header += character


def read_exceptions(root):
    exceptions = {}
    file = root / "tools" / "budgets.txt"
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.is_file() else [], 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(None, 2)
        if len(words) < 3 or not words[1].isdigit():
            raise ValueError(f"tools/budgets.txt:{number}: expected `path[:function] limit reason`, got `{line}`")
        exceptions[words[0]] = int(words[1])
    return exceptions


def file_limit(path, lines):
    if path.suffix in (".h", ".cuh"):
        return "header", HEADER_LINES
    if is_part(lines):
        return "catalogue file", CATALOGUE_LINES
    return "source", SOURCE_LINES


def measured(root):
    """(key, what, length, limit) of every file and function."""
    for path in sources(root):
        lines = read_lines(root, path)
        kind, limit = file_limit(path, lines)
        yield str(path), kind, len(lines), limit
        if path.parts[0] in ("tests", "fuzz"):
            continue
        limit = KERNEL_FUNCTION_LINES if floor_of(path) == "kernels" else FUNCTION_LINES
        for name, first, length in functions("\n".join(lines)):
            yield f"{path}:{name}", f"function at line {first}", length, limit


def comment_share(root):
    comments = total = 0
    for path in sources(root, [HOME]):
        for line in read_lines(root, path):
            total += bool(line.strip())
            comments += "//" in line
    return comments / total if total else 0.1


def wide_lines(root):
    """Lines with more than COLUMNS characters, raw strings aside."""
    raw = re.compile(r'R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"', re.S)
    for path in sources(root):
        text = (root / path).read_text(encoding="utf-8")
        if any(len(line) > COLUMNS for line in text.splitlines()):
            text = raw.sub(lambda found: re.sub(r"[^\n]", "", found[0]), text)
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > COLUMNS:
                yield f"{path}:{number}: {len(line)} columns, the width is {COLUMNS}"


def check(root):
    root = pathlib.Path(root)
    exceptions = read_exceptions(root)
    problems, used = [], set()
    for key, what, length, limit in measured(root):
        if length <= limit:
            continue
        used.add(key)
        allowed = exceptions.get(key, limit)
        if length > allowed:
            problems.append(f"{key}: {what} has {length} lines, the budget is {allowed}; shorten it or give a reason in tools/budgets.txt")
    problems += [f"tools/budgets.txt: {key} no longer needs an exception" for key in exceptions if key not in used]
    problems += wide_lines(root)
    share = comment_share(root)
    if not COMMENT_SHARE[0] <= share <= COMMENT_SHARE[1]:
        problems.append(f"comments are on {share:.0%} of the floors' lines, expected {COMMENT_SHARE[0]:.0%} to {COMMENT_SHARE[1]:.0%}")
    return problems


def main(arguments):
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).resolve().parent.parent)
    if not (root / "CMakeLists.txt").is_file():
        print(f"check_budgets: {root} is no source tree", file=sys.stderr)
        return 2
    try:
        problems = check(root)
    except ValueError as error:
        problems = [str(error)]
    count = sum(1 for key, *_ in measured(root) if ":" in key)
    return report(f"check_budgets: {count} functions, comments on {comment_share(root):.0%} of the floors' lines", problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
