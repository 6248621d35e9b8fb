"""The worker process behind the Slicer panel: jobs in, events out, one JSON object a line on stdin and stdout.

Run as `python -m MemorySurvivalLib.worker`. It stays warm between jobs, beats while it lives, and ends when its
input closes or after idle minutes. Cancelling a job is killing the process: results appear whole or not at all, so a
kill at any moment is safe. docs/worker.md describes every message.
"""

from __future__ import annotations

import _thread
import logging
import os
import queue
import signal
import sys
import threading
import time
from typing import Any, BinaryIO

import msgspec

from MemorySurvivalLib import __version__
from MemorySurvivalLib.errors import MemorySurvivalError
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext, Warm
from MemorySurvivalLib.progress import ProgressEvent

PROTOCOL = 1
HEARTBEAT_S = 1.0
IDLE_S = 300.0

_LOG = logging.getLogger(__name__)


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of input: a job's id, its kind, and its parameters."""

    id: str
    job: str
    parameters: dict[str, Any] = {}


class EventStream:
    """Writes events to the protocol's stream, one line each, from any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, event: str, **content: Any) -> None:
        """Write one event."""
        line = msgspec.json.encode({"event": event, **content}) + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


class Worker:
    """Runs jobs one after another and reports them."""

    def __init__(self, events: EventStream) -> None:
        self._events = events
        self._warm = Warm()

    def handle(self, line: bytes) -> None:
        """Run the job of one input line; every failure becomes a `failed` event with one sentence."""
        try:
            job = msgspec.json.decode(line, type=Job)
        except msgspec.DecodeError as error:
            self._events.send("failed", id=None, kind="ProtocolError", message=f"The job cannot be read: {error}.")
            return
        self._events.send("started", id=job.id)
        try:
            output = find_job(job.job)(job.parameters, self._context(job))
        except MemorySurvivalError as error:
            self._events.send("failed", id=job.id, kind=type(error).__name__, message=str(error), details=error.details)
        except Exception as error:  # noqa: BLE001  the process must outlive any job; the log has the traceback
            _LOG.exception("job %s failed", job.id)
            text = (
                f"The worker failed with an internal error ({type(error).__name__}: {error}); its log has the details."
            )
            self._events.send("failed", id=job.id, kind="InternalError", message=text)
        else:
            self._events.send("finished", id=job.id, result=output.result, files=output.files)

    def _context(self, job: Job) -> JobContext:
        def progress(event: ProgressEvent) -> None:
            self._events.send(
                "progress", id=job.id, stage=event.stage, done=event.done, total=event.total, eta_s=event.eta_s
            )

        def tell(text: str) -> None:
            self._events.send("note", id=job.id, text=text)

        return JobContext(progress, tell, self._warm)


def main() -> int:
    """Serve jobs until stdin closes, a signal arrives, or nothing came for five minutes."""
    # The protocol owns the real stdout; whatever a library prints goes to stderr instead.
    protocol = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    events = EventStream(protocol)
    events.send("ready", protocol=PROTOCOL, version=__version__, pid=os.getpid())
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_read_lines, args=(lines,), daemon=True).start()
    threading.Thread(target=_beat, args=(events,), daemon=True).start()
    try:
        _serve(Worker(events), lines)
    except KeyboardInterrupt:  # stdin closed or a signal came in mid-job; the job has cleaned up behind itself
        _LOG.info("stopped in mid-job")
    return 0


def _serve(worker: Worker, lines: queue.Queue[bytes | None]) -> None:
    while True:
        try:
            line = lines.get(timeout=IDLE_S)
        except queue.Empty:
            return
        if line is None:
            return
        if line.strip():
            worker.handle(line)


def _read_lines(lines: queue.Queue[bytes | None]) -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    lines.put(None)
    # Nobody is left to read the result of a job that still runs: stop it, first politely, then for good.
    time.sleep(0.5)
    _thread.interrupt_main()
    time.sleep(5.0)
    os._exit(0)


def _beat(events: EventStream) -> None:
    while True:
        time.sleep(HEARTBEAT_S)
        try:
            events.send("heartbeat")
        except OSError:  # the reader is gone
            os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
