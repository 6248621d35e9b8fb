"""The worker process behind the Slicer panel: jobs in, events out, one JSON object a line on stdin and stdout.

Run as `python -m MemorySurvivalLib.worker`. It stays warm between jobs, beats while it lives, and ends when its
input closes or after idle minutes. A job that is asked to stop does so when it next tells its progress; killing the
process does it at any moment, because results appear whole or not at all. docs/worker.md describes every message.
"""

from __future__ import annotations

import _thread
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import msgspec

from MemorySurvivalLib import __version__
from MemorySurvivalLib.errors import MemorySurvivalError
from MemorySurvivalLib.interrupts import ask_to_stop, listening, stop_if_asked
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext, Warm
from MemorySurvivalLib.processes import descendants, kill_tree
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.shortage import OutOfMemory, explain_shortage

PROTOCOL = 1
HEARTBEAT_S = 1.0
IDLE_S = 300.0
PROGRESS_EVERY_S = 0.05
"""Steps that follow one another faster are not all told: whoever shows them could not keep up."""
NICENESS = 5
"""The viewer goes first where both want the processor, so that it stays usable."""

_LOG = logging.getLogger(__name__)


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of input: a job's id, its kind, and its parameters."""

    id: str
    job: str
    parameters: dict[str, Any] = {}


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The other kind of input line: the id of the job that nobody wants any more."""

    cancel: str


class JobCancelled(BaseException):
    """Raised from a job's callbacks; no ordinary exception, so that nothing on its way takes it for a failure."""


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
    """Runs jobs one after another and reports them. `cancel` may be called from any thread."""

    def __init__(self, events: EventStream, log_lines: Callable[[], Sequence[str]] = tuple) -> None:
        self._events = events
        self._log_lines = log_lines
        self._warm = Warm()
        self._cancelled: set[str] = set()

    def cancel(self, job_id: str) -> None:
        """Let the job stop at its next progress; one that waits never begins."""
        self._cancelled.add(job_id)

    def handle(self, line: bytes) -> bool:
        """Run the job of one input line; every failure becomes a `failed` event with one sentence.

        False when the process had better end, because its memory ran out; the next process starts with all of it.
        """
        try:
            job = msgspec.json.decode(line, type=Job)
        except msgspec.DecodeError as error:
            self._events.send("failed", id=None, kind="ProtocolError", message=f"The job cannot be read: {error}.")
            return True
        self._events.send("started", id=job.id)
        failure: MemorySurvivalError | None = None
        try:
            self._check(job)
            output = find_job(job.job)(job.parameters, self._context(job))
        except JobCancelled:
            self._events.send("cancelled", id=job.id)
        except MemorySurvivalError as error:
            shortage = explain_shortage(error)  # "not readable" may have been a lack of memory
            failure = shortage if isinstance(shortage, OutOfMemory) else error
        except Exception as error:  # noqa: BLE001  the process must outlive any job; the log has the traceback
            _LOG.exception("job %s failed", job.id)
            text = (
                f"The worker failed with an internal error ({type(error).__name__}: {error}); its log has the details."
            )
            failure = explain_shortage(error) or InternalError(text)
        else:
            self._events.send("finished", id=job.id, result=output.result, files=output.files)
        self._cancelled.discard(job.id)
        if failure is not None:
            self._events.send(
                "failed",
                id=job.id,
                kind=type(failure).__name__,
                message=str(failure),
                details=failure.details,
                log=self._log_lines(),
            )
        return not isinstance(failure, OutOfMemory)

    def _check(self, job: Job) -> None:
        stop_if_asked()
        if job.id in self._cancelled:
            raise JobCancelled

    def _context(self, job: Job) -> JobContext:
        last_stage, last_s = "", 0.0

        def progress(event: ProgressEvent) -> None:
            nonlocal last_stage, last_s
            self._check(job)
            now_s = time.monotonic()
            if event.stage == last_stage and event.done < event.total and now_s - last_s < PROGRESS_EVERY_S:
                return
            last_stage, last_s = event.stage, now_s
            self._events.send(
                "progress", id=job.id, stage=event.stage, done=event.done, total=event.total, eta_s=event.eta_s
            )

        def tell(text: str) -> None:
            self._check(job)
            self._events.send("note", id=job.id, text=text)

        return JobContext(progress, tell, self._warm)


class InternalError(MemorySurvivalError):
    """Something that nobody foresaw."""


class LogTail(logging.Handler):
    """Keeps the last lines of the log, oldest first, so that a failure can hand them on."""

    def __init__(self, lines: int = 200) -> None:
        super().__init__()
        self._kept: deque[str] = deque(maxlen=lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record, with its traceback."""
        self._kept.extend(self.format(record).splitlines())

    def lines(self) -> tuple[str, ...]:
        """What is kept."""
        return tuple(self._kept)


def main() -> int:
    """Serve jobs until stdin closes, a signal arrives, memory runs out, or nothing came for five minutes."""
    # The protocol owns the real stdout; whatever a library prints goes to stderr instead.
    protocol = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    tail = LogTail()
    handlers = [logging.StreamHandler(sys.stderr), tail]
    logging.basicConfig(level=logging.INFO, handlers=handlers, format="%(asctime)s %(name)s: %(message)s")
    _stand_back()
    try:
        with listening():
            _work(EventStream(protocol), tail)
    except KeyboardInterrupt:  # stdin closed or a signal came in mid-job; the job has cleaned up behind itself
        _LOG.info("stopped in mid-job")
    except BrokenPipeError:  # nobody listens any more
        _LOG.info("the viewer is gone")
    if sys.platform != "win32":
        for each in descendants(os.getpid()):
            kill_tree(each)
    return 0


def _stand_back() -> None:
    """Head a process group of our own, which whoever ends us can end as a whole, and let the viewer go first."""
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), subprocess.BELOW_NORMAL_PRIORITY_CLASS)
        return
    with suppress(OSError):  # it is a group's head already, started by hand from a shell
        os.setsid()
    os.nice(NICENESS)


def _work(events: EventStream, tail: LogTail) -> None:
    events.send("ready", protocol=PROTOCOL, version=__version__, pid=os.getpid())
    worker = Worker(events, tail.lines)
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_read_lines, args=(worker, lines), daemon=True).start()
    threading.Thread(target=_beat, args=(events,), daemon=True).start()
    _serve(worker, lines)


def _serve(worker: Worker, lines: queue.Queue[bytes | None]) -> None:
    while True:
        try:
            line = lines.get(timeout=IDLE_S)
        except queue.Empty:
            return
        if line is None or not worker.handle(line):
            return


def _read_lines(worker: Worker, lines: queue.Queue[bytes | None]) -> None:
    for line in _lines_of(sys.stdin.fileno()):
        try:
            worker.cancel(msgspec.json.decode(line, type=Cancel).cancel)
        except msgspec.DecodeError:  # then it is a job
            lines.put(line)
    lines.put(None)
    # Nobody is left to read the result of a job that still runs: stop it, first politely, then for good.
    time.sleep(0.5)
    ask_to_stop()
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:  # a true signal also ends a wait
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    time.sleep(5.0)
    kill_tree(os.getpid())


def _lines_of(descriptor: int) -> Iterator[bytes]:
    """Lines that are not blank. Read without Python's buffer, whose lock a waiting thread would hold at our end."""
    pending = b""
    while chunk := os.read(descriptor, 1 << 16):
        *lines, pending = (pending + chunk).split(b"\n")
        yield from filter(bytes.strip, lines)


def _beat(events: EventStream) -> None:
    with suppress(OSError):  # the reader is gone: our input closes as well, which ends us
        while True:
            time.sleep(HEARTBEAT_S)
            events.send("heartbeat")


if __name__ == "__main__":
    sys.exit(main())
