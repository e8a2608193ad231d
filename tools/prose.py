"""The width of prose in Markdown: which lines may be wide, and paragraphs cut to the width."""
import re
import textwrap

COLUMNS = 100  # of a line of prose; tables, code and lines of HTML may be wider
ITEM = re.compile(r"^\s*(?:[-*]|\d+\.) ")
WHOLE = ("#", "|", "<", "    ", ">", "---", "```")  # lines that stand for themselves


def blocks(text):
    """(is prose, lines): paragraphs and list items, and what lies between them line by line."""
    code, prose = False, []
    for line in text.split("\n"):
        fence = line.lstrip().startswith("```")
        if code or fence or not line.strip() or line.startswith(WHOLE):
            if prose:
                yield True, prose
            prose, code = [], code != fence
            yield False, [line]
            continue
        if prose and ITEM.match(line):
            yield True, prose
            prose = []
        prose.append(line)
    if prose:
        yield True, prose


def wide_lines(text):
    """Numbers of the lines of prose that are wider than COLUMNS and could be cut."""
    number = 0
    for prose, lines in blocks(text):
        for line in lines:
            number += 1
            if prose and len(line) > COLUMNS and " " in line.strip()[:COLUMNS]:
                yield number


def filled(text):
    """The text with every paragraph that has a wide line cut anew."""
    out = []
    for prose, lines in blocks(text):
        if prose and any(len(line) > COLUMNS for line in lines):
            first = (ITEM.match(lines[0]) or re.match(r"^\s*", lines[0]))[0]
            words = " ".join(line.strip() for line in [lines[0][len(first):], *lines[1:]])
            lines = textwrap.wrap(words, COLUMNS, initial_indent=first, subsequent_indent=" " * len(first),
                                  break_long_words=False, break_on_hyphens=False)
        out += lines
    return "\n".join(out)
