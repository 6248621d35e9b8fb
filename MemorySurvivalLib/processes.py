"""Running another program and everything it starts: its lines as they come, and an end that leaves nobody behind."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from MemorySurvivalLib.errors import MemorySurvivalError

BEAT_S = 0.2
"""How often a silent program is looked at, so that stopping it never takes longer."""

KEPT_LINES = 60

CANNOT_START, SIGNALLED = 127, 128
"""Exit statuses of the keeper, as shells have them: the program did not start; 128 + n: signal n ended it."""

_KEEPER = """
import sys
sys.path.insert(0, sys.argv[1])
from MemorySurvivalLib.processes import keep
keep(sys.argv[2:])
"""

if sys.platform == "win32":
    _WINDOWS_FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
else:
    _WINDOWS_FLAGS = 0

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


class ExternalToolError(MemorySurvivalError):
    """A program of others that is missing, failed, or left something other than it should."""


class Stopped(MemorySurvivalError):
    """The work was stopped because the user asked for it."""


@dataclass(frozen=True)
class Ending:
    """How a program ended: its exit status (negative: the signal that ended it) and its last lines, oldest first."""

    status: int
    lines: tuple[str, ...]

    @property
    def reason(self) -> str:
        """The last line that says something ("" where there is none): of a traceback, the exception."""
        return next((line for line in reversed(self.lines) if re.search(r"[A-Za-z]{3}", line)), "")


def never() -> bool:
    """The stop signal of callers that do not stop."""
    return False


def run_tree(
    command: Sequence[str],
    *,
    what: str,
    on_line: Callable[[str], None],
    stop: Callable[[], bool] = never,
    on_beat: Callable[[], None] = lambda: None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Ending:
    """Run a program to its end and hand over each line it writes (stdout and stderr; progress bars count as lines).

    `stop` is asked and `on_beat` called at least every BEAT_S seconds, in the calling thread. When `stop` says so, or
    when a callback raises, or on Ctrl-C, the program dies with everything that it started, and Stopped (or what was
    raised) follows; the same holds for what a program leaves running behind it. `what` names it in messages.
    The program dies as well when this process itself is killed: a keeper process between the two sees to that.
    `environment` is added to ours. Raises ExternalToolError where the program cannot be started.
    """
    program = shutil.which(str(command[0]))
    if program is None:
        raise ExternalToolError(f"{what} cannot be started: {command[0]} is not a program here.")
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _KEEPER, str(Path(__file__).parents[1]), program, *map(str, command[1:])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", **(environment or {})},
        cwd=folder,
        start_new_session=os.name != "nt",
        creationflags=_WINDOWS_FLAGS,
    )
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(process.stdout, lines), name=f"lines of {what}", daemon=True)
    kept: deque[str] = deque(maxlen=KEPT_LINES)
    try:
        reader.start()
        speaking = True
        while speaking or process.poll() is None:
            on_beat()
            if stop():
                raise Stopped(f"{what} was stopped.")
            try:
                line = lines.get(timeout=BEAT_S)
            except queue.Empty:
                if process.poll() is not None:
                    break  # what it left running holds its output open; nobody waits for that
                continue
            if line is None:
                speaking = False
            else:
                kept.append(line)
                on_line(line)
    finally:
        if process.poll() is None:
            kill_tree(process.pid)
        else:
            _kill_group(process.pid)
        process.wait()
        reader.join(timeout=5.0)
        if process.stdin is not None:
            process.stdin.close()
        if process.stdout is not None and not reader.is_alive():
            process.stdout.close()
    if process.returncode == CANNOT_START:
        raise ExternalToolError(f"{what} cannot be started ({Ending(CANNOT_START, tuple(kept)).reason}).")
    status = process.returncode
    return Ending(SIGNALLED - status if SIGNALLED < status < SIGNALLED + 65 else status, tuple(kept))


def keep(command: Sequence[str]) -> None:
    """Run a program and end like it; end it, with all that it started, when our input closes.

    Our input is a pipe that the process in charge holds open, so it closes even when that process is killed.
    """
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror or error}\n")
        os._exit(CANNOT_START)

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        kill_tree(os.getpid())

    threading.Thread(target=watch, name="watch", daemon=True).start()
    status = child.wait()
    os._exit(SIGNALLED - status if status < 0 else status)


def kill_tree(pid: int) -> None:
    """End the process `pid`, its process group and all its descendants at once; what is gone already is fine."""
    if sys.platform == "win32":
        subprocess.run(
            ["taskkill", "/PID", str(pid), "/T", "/F"], capture_output=True, check=False, creationflags=_WINDOWS_FLAGS
        )
        return
    for each in descendants(pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(each, signal.SIGKILL)
    _kill_group(pid)  # at the end, because it may be our own
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _kill_group(leader: int) -> None:
    """End what is left of the process group that `leader` was made the head of."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Every process that `pid` started, and those that these started, as far as their parents still live."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents().items():
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _parents() -> dict[int, int]:
    """Parent of each running process: from /proc where there is one (Linux), else from ps (macOS)."""
    if not Path("/proc/self/stat").exists():
        listing = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True)
        return {int(child): int(parent) for child, parent in (line.split() for line in listing.stdout.splitlines())}
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # the process ended meanwhile
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                # The name in parentheses may itself hold blanks and parentheses.
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return parents


def _read(output: IO[str] | None, lines: queue.SimpleQueue[str | None]) -> None:
    """Hand over lines until the program and all that share its output have closed it; None ends them."""
    if output is not None:
        with contextlib.suppress(ValueError, OSError):  # closed under our hands
            for line in output:
                cleaned = _CONTROL.sub("", line).strip()
                if cleaned:
                    lines.put(cleaned)
    lines.put(None)
