"""How a page that a tool writes is written, or compared with what would be written."""
import json
import pathlib
import subprocess
import sys


def run(arguments, usage, name, listed, page):
    """Command line `GATEWRIGHT [ROOT] [--check]` of the tool for docs/`name`; returns the exit code.

    `listed`: words after `gatewright list`; `page(root, parts)`: the text and how many parts it shows.
    """
    check = "--check" in arguments
    plain = [a for a in arguments if a != "--check"]
    if len(plain) not in (1, 2):
        print(usage, file=sys.stderr)
        return 2
    root = pathlib.Path(plain[1] if len(plain) == 2 else pathlib.Path(__file__).resolve().parent.parent)
    listing = subprocess.run([plain[0], "list", *listed, "--json"], check=True, capture_output=True, text=True).stdout
    text, count = page(root, json.loads(listing))
    path = root / "docs" / name
    if not check:
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {count} parts")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return 0
    tool = pathlib.Path(sys.argv[0]).name
    print(f"docs/{name} is not what the registry says: run tools/{tool} build/gatewright", file=sys.stderr)
    return 1
