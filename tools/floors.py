"""The table of floors, and what both checkers need to read the tree."""
import pathlib
import re

# Lowest first: a floor may include itself and the floors in its row, nothing else of the tree (docs/architecture.md).
# Only ops calls kernels: argument checks live there, and kernels have none.
FLOORS = {
    "base": [],
    "kernels": ["base"],
    "text": ["base"],
    "ops": ["base", "kernels"],
    "routing": ["base", "ops"],
    "experts": ["base", "ops"],
    "mixture": ["base", "ops", "routing", "experts"],
    "data": ["base", "ops"],
    "likelihood": ["base", "ops", "data"],
    "models": ["base", "ops", "routing", "experts", "mixture", "data"],
    "language": ["base", "text", "ops", "routing", "experts", "mixture", "data", "models"],
    "train": ["base", "ops", "routing", "experts", "mixture", "models", "data"],
    "runs": ["base", "text", "ops", "routing", "experts", "mixture", "data", "likelihood", "models", "language", "train"],
    "report": ["base", "text", "ops", "routing", "experts", "mixture", "data", "likelihood", "models", "language", "train", "runs"],
}
HOME = "gatewright"  # the folder of the floors, and the first word of every include of theirs
TOP = ["apps", "bench", "examples", "python", "tests", "fuzz"]  # may include every floor; no floor may include them
SUFFIXES = {".cpp", ".h", ".inl", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
REGISTER = re.compile(r"^GW_REGISTER\((\w+(?:::\w+)*),\s*\w+(?:::\w+)*\);$")


def floor_of(path):
    """The floor that a path relative to the root lies on, else its first folder ("tests", "apps", …)."""
    parts = pathlib.PurePosixPath(path).parts
    return parts[1] if parts[0] == HOME and len(parts) > 1 else parts[0]


def sources(root, folders=None):
    """Source files under the floors and the top folders, sorted, as paths relative to the root."""
    root = pathlib.Path(root)
    for folder in folders or [HOME, *TOP]:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                yield path.relative_to(root)


def read_lines(root, path):
    return (pathlib.Path(root) / path).read_text(encoding="utf-8").splitlines()


def is_part(lines):
    """A catalogue file registers a part; comments that show the macro do not count."""
    return any(line.startswith("GW_REGISTER(") for line in lines)


def catalogue_folders(root):
    """Folders where some .cpp registers a part."""
    return {path.parent for path in sources(root) if path.suffix == ".cpp" and path.parts[0] != "tests" and is_part(read_lines(root, path))}


def report(summary, problems):
    """How every checker ends: its problems, one per line, and a summary; returns the exit code."""
    for problem in problems:
        print(problem)
    print(f"{summary}, {len(problems)} problem(s)")
    return 1 if problems else 0
