"""The program `gatewright` as a child process: found, its version compared, run to its end, interrupted
so that it saves."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import selectors
import shutil
import signal
import subprocess
import warnings
from collections.abc import Callable, Sequence

HERE = pathlib.Path(__file__).parent
REMEDY = (
    "build it with `make build && make install`, or name it in the environment variable GATEWRIGHT_PROGRAM"
)
POLL_s = 0.1
_compared: set[str] = set()


def find() -> str:
    """Its path: GATEWRIGHT_PROGRAM, beside the package, or on PATH. Errors: FileNotFoundError in one
    sentence."""
    named = os.environ.get("GATEWRIGHT_PROGRAM")
    if named:
        if os.access(named, os.X_OK) and os.path.isfile(named):
            return named
        raise FileNotFoundError(
            f"gatewright: expected a program in GATEWRIGHT_PROGRAM, got {named}, which is none; {REMEDY}"
        )
    beside = HERE / "bin" / "gatewright"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("gatewright")
    if found is None:
        raise FileNotFoundError(
            f"gatewright: recipes are run by the program `gatewright`, which is not on PATH; {REMEDY}"
        )
    return found


def version(program: str) -> str:
    """What it says of itself: "0.1.0". Errors: RuntimeError where it is no gatewright."""
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=60, check=False
        ).stdout
    except OSError as error:
        raise RuntimeError(f"gatewright: {program} does not start ({error}); {REMEDY}") from error
    match = re.match(r"gatewright (\d[\w.]*)", said)
    if match is None:
        raise RuntimeError(
            f"gatewright: expected `{program} --version` to name gatewright and its version, got "
            f"{said[:60]!r}; {REMEDY}"
        )
    return match[1]


def usable() -> str:
    """The program; once for each path it is said when package and program are of different versions."""
    import gatewright

    program = find()
    if program not in _compared:
        theirs, ours = version(program), gatewright.__version__
        _compared.add(program)
        if theirs != ours:
            warnings.warn(
                f"gatewright: the package is version {ours}, the program {program} is {theirs}; install "
                "both from "
                "the same sources",
                stacklevel=4,
            )
    return program


def error_of(code: int, heard: Sequence[str], task: str) -> Exception:
    """What an exit code stands for, in the program's own words."""
    starts = [i for i, line in enumerate(heard) if line.startswith("gatewright: ")]
    said = "\n".join(heard[starts[-1] :]) if starts else "\n".join(heard[-3:])
    said = said.removeprefix("gatewright: ").strip()
    if code == 2:
        return ValueError(said or f"gatewright {task}: refused without a word")
    how = f"ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"
    return RuntimeError(f"{said} ({how})" if said else f"gatewright {task}: {how}")


class _Lines:
    """Whole lines out of what arrives in pieces; a carriage return ends one too."""

    def __init__(self) -> None:
        self.rest = b""

    def take(self, data: bytes) -> list[str]:
        *whole, self.rest = re.split(rb"[\r\n]+", self.rest + data)
        return [line.decode("utf-8", "replace").rstrip() for line in whole if line.strip()]


def _terminal() -> tuple[int, int]:
    """(ours, the program's): on a terminal it draws ten times a second and says the total at once."""
    import fcntl
    import struct
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 1000, 0, 0))
    return ours, theirs


def run(
    arguments: Sequence[str],
    hear: Callable[[str], None] | None = None,
    poll: Callable[[], None] | None = None,
) -> tuple[int, str, list[str]]:
    """Runs `gatewright arguments…`: (exit code, standard output, lines of standard error).

    hear: gets every line of standard error as it comes, the redrawn line of progress each time; poll is
    called some ten times a second. KeyboardInterrupt, and whatever else they raise, is passed on as
    SIGINT; the program saves and ends before the exception goes up. A second one ends it at once.
    """
    command = [usable(), *arguments]
    try:
        ours, theirs = _terminal() if hear else os.pipe()
    except OSError:  # no terminal left: plain lines say the same, later
        ours, theirs = os.pipe()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    # A group of its own: Ctrl-C in a terminal would reach the program beside us, and a second one kills it.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    ) as child:
        os.close(theirs)
        out, heard = bytearray(), []
        listen = hear or (lambda line: None)
        try:
            try:
                _follow(child, ours, out, heard, listen, poll or (lambda: None))
            except KeyboardInterrupt:
                _stop(child, ours, out, heard)
                raise KeyboardInterrupt(*_last_words(heard)) from None
            except BaseException:
                _stop(child, ours, out, heard)
                raise
        finally:
            os.close(ours)
    return child.returncode, out.decode("utf-8", "replace"), heard


def _last_words(heard: Sequence[str]) -> list[str]:
    return [line.removeprefix("gatewright: ") for line in heard if line.startswith("gatewright: ")][-1:]


def _follow(child, errors: int, out: bytearray, heard: list[str], hear, poll) -> None:
    lines, open_ends = _Lines(), selectors.DefaultSelector()
    with open_ends:
        open_ends.register(child.stdout, selectors.EVENT_READ)
        open_ends.register(errors, selectors.EVENT_READ)
        while open_ends.get_map():
            for key, _ in open_ends.select(POLL_s):
                try:
                    data = os.read(key.fd, 1 << 16)
                except OSError:  # a terminal whose other end is closed
                    data = b""
                if not data:
                    open_ends.unregister(key.fileobj)
                elif key.fd == errors:
                    for line in lines.take(data):
                        heard.append(line)
                        hear(line)
                else:
                    out += data
            poll()
            del heard[:-200]
    heard += lines.take(b"\n")
    child.wait()


def _stop(child, errors: int, out: bytearray, heard: list[str]) -> None:
    """SIGINT, then until the program has saved; what it says meanwhile is read, or it would wait for us."""
    while child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGINT)
        try:
            _follow(child, errors, out, heard, lambda line: None, lambda: None)
        except KeyboardInterrupt:
            continue
        except ValueError:  # its standard output is closed already
            child.wait()
