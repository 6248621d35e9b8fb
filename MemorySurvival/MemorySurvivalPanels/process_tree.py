"""Ending a process together with everything it started, on each of the three platforms."""

import os
import signal
import subprocess
from pathlib import Path


def kill_tree(pid: int) -> None:
    """End `pid` and all its descendants at once.

    PythonSlicer is a launcher whose child is the real interpreter, so killing the process alone would leave the
    interpreter computing. Processes that are gone already are fine.
    """
    if os.name == "nt":
        subprocess.run(
            ["taskkill", "/PID", str(pid), "/T", "/F"],
            capture_output=True,
            check=False,
            creationflags=subprocess.CREATE_NO_WINDOW,
        )
        return
    for each in [pid, *descendants(pid)]:
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            continue


def descendants(pid: int) -> list[int]:
    """Every process that `pid` started, and those that these started."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents().items():
        children.setdefault(parent, []).append(child)
    found = []
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found


def _parents() -> dict[int, int]:
    """Parent of each running process: from /proc where there is one (Linux), else from ps (macOS)."""
    parents = {}
    if Path("/proc/self/stat").exists():
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:  # the process ended meanwhile
                continue
            # The name in parentheses may itself hold spaces and parentheses.
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
        return parents
    listing = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        child, parent = line.split()
        parents[int(child)] = int(parent)
    return parents
