#!/usr/bin/env python3
"""Keeps the documentation true: snippets become programs, links lead somewhere, examples stay short, prose stays
within 100 columns.

Usage: tools/check_docs.py check [ROOT]            exit code 0: all true, 1: problems (one per line)
       tools/check_docs.py extract OUT [ROOT]      writes OUT/<program>/<file>.cpp, prints one line `program;file;file…` each

A fenced cpp block after the line `<!-- compiled: name -->` is the program `name`; after `<!-- compiled: name/part.cpp -->` it is one
file of that program. Without a main() the block becomes the body of one, its #include lines before it.
"""
import pathlib
import re
import sys

from floors import report
from prose import COLUMNS, wide_lines

BLOCK = re.compile(r"^<!-- compiled: (\w+)(?:/(\w+)\.cpp)? -->\n```cpp\n(.*?)^```$", re.M | re.S)
MARKER = re.compile(r"<!-- compiled:")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
CONFLICT = re.compile(r"^(?:<<<<<<<|>>>>>>>)(?: |$)", re.M)
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
EXAMPLE_LINES, SHORTER = 60, {"moe_layer": 40}  # what the README promises: a layer in under 40 lines, a router in under 60


def documents(root):
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


def program_text(code):
    if re.search(r"\bint main\(", code) or "GW_REGISTER(" in code:
        return code
    includes = [line for line in code.splitlines() if line.startswith("#include")]
    body = [line for line in code.splitlines() if not line.startswith("#include")]
    return "\n".join([*includes, "", "int main() {", *body, "}", ""])


def snippets(root):
    """program → {file name: text}"""
    programs = {}
    for document in documents(root):
        for program, file, code in BLOCK.findall(document.read_text(encoding="utf-8")):
            name = f"{file or 'main'}.cpp"
            if name in programs.setdefault(program, {}):
                raise ValueError(f"{document.relative_to(root)}: {program}/{name} is there twice")
            programs[program][name] = program_text(code)
    return programs


def document_problems(root, document):
    text = document.read_text(encoding="utf-8")
    name = document.relative_to(root)
    if CONFLICT.search(text):
        yield f"{name}: two versions of a merge are left in it"
    if len(MARKER.findall(text)) != len(BLOCK.findall(text)):
        yield f"{name}: a `compiled:` marker without a cpp block right below it"
    for number in wide_lines(text):
        yield f"{name}:{number}: prose wider than {COLUMNS} columns"
    for target in LINK.findall(FENCE.sub("", text)):
        if "://" not in target and not target.startswith("mailto:") and not (document.parent / target).exists():
            yield f"{name}: the link to {target} leads nowhere"


def example_problems(root):
    for path in sorted((root / "examples").glob("*.cpp")):
        lines, limit = len(path.read_text(encoding="utf-8").splitlines()), SHORTER.get(path.stem, EXAMPLE_LINES)
        if lines >= limit:
            yield f"examples/{path.name}: expected under {limit} lines, got {lines}"


def check(root):
    root = pathlib.Path(root)
    problems = [problem for document in documents(root) for problem in document_problems(root, document)]
    try:
        snippets(root)
    except ValueError as error:
        problems.append(str(error))
    return problems + list(example_problems(root))


def extract(root, out):
    """Writes a file only when its text changed, so that the build compiles no snippet twice."""
    for program, files in snippets(root).items():
        for name, text in files.items():
            path = out / program / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
        print(";".join([program, *files]))


def main(arguments):
    here = pathlib.Path(__file__).resolve().parent.parent
    if arguments[:1] == ["extract"] and len(arguments) in (2, 3):
        extract(pathlib.Path(arguments[2]) if len(arguments) == 3 else here, pathlib.Path(arguments[1]))
        return 0
    if arguments[:1] != ["check"] or len(arguments) > 2:
        print(__doc__, file=sys.stderr)
        return 2
    root = pathlib.Path(arguments[1]) if len(arguments) == 2 else here
    problems = check(root)
    return report(f"check_docs: {len(documents(root))} documents, {len(snippets(root)) if not problems else '?'} programs", problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
