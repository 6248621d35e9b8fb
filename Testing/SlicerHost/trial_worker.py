"""The library's own worker process with a few more jobs: each ends, hangs or dies in one way of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from MemorySurvivalLib import jobs, worker
from MemorySurvivalLib.files import atomic_folder
from MemorySurvivalLib.jobs.context import JobContext, JobOutput
from MemorySurvivalLib.processes import run_tree
from MemorySurvivalLib.progress import track

SLEEPER = "import time; time.sleep(600)"
FAMILY = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def count(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """`steps` steps of 20 ms each."""
    done = sum(1 for _ in track(_slowly(parameters["steps"]), "counting", parameters["steps"], context.progress))
    return JobOutput({"done": done, "pid": os.getpid()})


def _slowly(steps: int) -> Any:
    for step in range(steps):
        time.sleep(0.02)
        yield step


def stuck(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """A long phase that tells no progress, with a child that left the process group and a half-written result."""
    with atomic_folder(Path(parameters["out"])) as folder:
        (folder / "half").write_text("half", encoding="utf-8")
        child = subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True)
        context.tell(f"children {child.pid}")
        time.sleep(600)
    return JobOutput({})


def tool(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """A program of others with a child of its own; progress goes on meanwhile."""
    meter = iter(track(range(10**6), "waiting", 10**6, context.progress))
    run_tree(
        [sys.executable, "-c", FAMILY],
        what="The tool",
        on_line=lambda line: context.tell(f"children {line}"),
        on_beat=lambda: next(meter, None),
    )
    return JobOutput({})


def memory(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """More memory than any computer has."""
    import numpy as np

    return JobOutput({"sum": float(np.ones(1 << 50).sum())})


def disk(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Write to a device that is always full."""
    with Path("/dev/full").open("wb") as file:
        file.write(b"x")
    return JobOutput({})


def die(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """End by a signal, as when the kernel needs the memory (9) or native code breaks (11)."""
    print("the last words", file=sys.stderr, flush=True)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.Signals(parameters["signal"]))
    time.sleep(60)
    return JobOutput({})


def leave(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Have the process end, as if it had been idle for long, right after this job."""
    worker.IDLE_S = 0.0
    return JobOutput({"pid": os.getpid()})


def flood(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Steps without any work in them, and a large result."""
    for _step in track(range(parameters["steps"]), "flooding", parameters["steps"], context.progress):
        pass
    return JobOutput({"text": "x" * parameters["bytes"]})


JOBS = (count, stuck, tool, memory, disk, die, leave, flood)


def main() -> int:
    """Serve these jobs beside the library's."""
    sys.modules["trial_worker"] = sys.modules[__name__]
    jobs.JOBS.update({job.__name__: f"trial_worker:{job.__name__}" for job in JOBS})
    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
