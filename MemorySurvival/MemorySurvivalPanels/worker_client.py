"""The client of the worker: jobs wait their turn, run one at a time, and can be stopped within a second."""

import json
import logging
import os
import shutil
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.worker_process import End, WorkerProcess, end_retired
from MemorySurvivalPanels.worker_protocol import PROTOCOL_VERSION, Failure, JobListener, Progress, WorkerCommand

_LOG = logging.getLogger(__name__)

CANCEL_PATIENCE_MS = 600
"""How long a job that the user cancelled may take to stop by itself before its process tree is ended."""

INTERRUPT_PATIENCE_MS = 3_000
"""The same for a background job that stands in the way: a new process would take about as long to warm up."""


def library_worker_command(library_root: Path, folder: Path) -> WorkerCommand:
    """The library's worker under Slicer's own Python (PythonSlicer), run in an empty `folder`.

    The folder matters because `python -m` puts it before everything else on the import path, and because temporary
    files of the worker and of the programs it starts go there too, so that they end with it.
    """
    path = [str(library_root), os.environ.get("PYTHONPATH", "")]
    return WorkerCommand(
        program=shutil.which("PythonSlicer") or sys.executable,
        arguments=("-m", "MemorySurvivalLib.worker"),
        environment={
            "PYTHONPATH": os.pathsep.join(part for part in path if part),
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder)),
        },
        folder=folder,
    )


@dataclass
class _Job:
    """One job on its way. `cancelled`: the user gave it up; `interrupted`: it shall start over later."""

    id: str
    line: bytes
    listener: JobListener
    background: bool
    started: bool = False
    sent_twice: bool = False
    cancelled: bool = False
    interrupted: bool = False


class WorkerClient:
    """Keeps one warm worker process; a WorkerProtocol.

    `command` is asked for each time a process starts; `expected_version` is the library version that it must be.
    """

    def __init__(self, command: Callable[[], WorkerCommand], expected_version: str) -> None:
        self._command = command
        self._expected_version = expected_version
        self._process: WorkerProcess | None = None
        self._ready = False
        self._running: _Job | None = None
        self._waiting: deque[_Job] = deque()
        self._background: deque[_Job] = deque()
        self._count = 0
        self._patience = qt.QTimer()
        self._patience.setSingleShot(True)
        self._patience.timeout.connect(self._lose_patience)

    @property
    def busy(self) -> bool:
        """Whether a job that the user waits for runs or waits."""
        return bool(self._waiting) or (self._running is not None and not self._running.background)

    @property
    def process_ids(self) -> list[int]:
        """The worker's process numbers, as Qt and as the worker itself know them; empty where none runs."""
        return self._process.ids if self._process is not None else []

    def submit(
        self, job: str, parameters: Mapping[str, Any], listener: JobListener, *, background: bool = False
    ) -> None:
        """Do the job when those before it are done; a background job makes way for every other."""
        self._count += 1
        request = {"id": str(self._count), "job": job, "parameters": dict(parameters)}
        line = json.dumps(request).encode() + b"\n"
        queue = self._background if background else self._waiting
        queue.append(_Job(str(self._count), line, listener, background))
        running = self._running
        in_the_way = not background and running is not None and running.background
        if in_the_way and not running.cancelled and not running.interrupted:
            running.interrupted = True
            self._ask_to_stop(INTERRUPT_PATIENCE_MS)
        self._go_on()

    def cancel(self) -> None:
        """Stop the jobs that the user waits for; each listener is told when its job has ended, within a second."""
        self._cancel(lambda job: not job.background)

    def cancel_background(self) -> None:
        """Stop the background jobs; each listener is told when its job has ended, within a second."""
        self._cancel(lambda job: job.background)

    def cancel_job(self, listener: JobListener) -> None:
        """Stop the jobs of this listener alone, wherever they stand."""
        self._cancel(lambda job: job.listener is listener)

    def close(self) -> None:
        """Stop every job now and wait for the end of the processes; nobody is told."""
        self._forget_everything()
        end_retired()

    def _cancel(self, wanted: Callable[[_Job], bool]) -> None:
        given_up = [job for job in (*self._waiting, *self._background) if wanted(job)]
        self._waiting = deque(job for job in self._waiting if not wanted(job))
        self._background = deque(job for job in self._background if not wanted(job))
        running = self._running
        if running is not None and wanted(running) and not running.cancelled:
            running.cancelled = True
            self._ask_to_stop(CANCEL_PATIENCE_MS)
            running.listener.job_progressed(Progress(_("Cancelling"), 0, 0, None))
        for job in given_up:
            job.listener.job_cancelled()

    def _ask_to_stop(self, patience_ms: int) -> None:
        """Ask the running job to stop; when that takes too long its process is ended."""
        if self._process is not None:  # else it is being ended already
            self._process.write(json.dumps({"cancel": self._running.id}).encode() + b"\n")
            self._patience.start(patience_ms)

    def _lose_patience(self) -> None:
        process, self._process = self._process, None
        job = self._running
        process.kill(lambda: self._stopped(job))

    def _stopped(self, job: _Job) -> None:
        """The running job has ended because it should."""
        if job is not self._running:  # everything was forgotten meanwhile
            return
        self._running = None
        self._patience.stop()
        if not job.cancelled:
            job.interrupted = job.started = False
            self._background.appendleft(job)
        self._go_on()
        if job.cancelled:
            job.listener.job_cancelled()

    def _go_on(self) -> None:
        """Send the next job where none runs; start a process for it where there is none."""
        if self._running is not None or not (self._waiting or self._background):
            return
        if self._process is None:
            self._start()
        elif self._ready:
            self._running = (self._waiting or self._background).popleft()
            self._process.write(self._running.line)

    def _start(self) -> None:
        try:
            command = self._command()
        except UserError as error:
            self._fail_all(Failure(str(error)))
            return
        self._ready = False
        self._process = WorkerProcess(command, self._handle, self._ended)
        self._process.start()

    def _forget_everything(self) -> list[_Job]:
        process, self._process = self._process, None
        jobs = [*([self._running] if self._running else []), *self._waiting, *self._background]
        self._running = None
        self._patience.stop()
        self._waiting.clear()
        self._background.clear()
        if process is not None:
            process.kill()
        return jobs

    def _fail_all(self, failure: Failure) -> None:
        """No job can be done by a process that does not even start: end with whatever was asked of it."""
        for job in self._forget_everything():
            if job.cancelled:
                job.listener.job_cancelled()
            else:
                job.listener.job_failed(failure)

    def _ended(self, end: End) -> None:
        """The process is gone: the job that it had in hand failed, unless it should stop or had not begun."""
        self._process = None
        job = self._running
        if not self._ready:
            self._fail_all(Failure(end.sentence, log=end.log))
        elif job is None:  # a worker leaves by itself after idle minutes
            self._go_on()
        elif job.cancelled or job.interrupted:
            self._stopped(job)
        elif end.regular and not job.started and not job.sent_twice:  # it was leaving when the job came
            self._running = None
            job.sent_twice = True
            (self._background if job.background else self._waiting).appendleft(job)
            self._go_on()
        else:
            self._running = None
            self._go_on()
            job.listener.job_failed(Failure(end.sentence, log=end.log))

    def _handle(self, event: Mapping[str, Any]) -> None:
        kind, job = event.get("event"), self._running
        if kind == "ready":
            self._greet(event)
        elif kind == "heartbeat" or job is None or event.get("id") != job.id:
            return
        elif kind == "started":
            job.started = True
        elif kind == "cancelled" or (kind in ("finished", "failed") and job.cancelled):
            self._stopped(job)
        elif job.cancelled or (job.interrupted and kind in ("progress", "note")):
            return
        elif kind == "progress":
            done, total = int(event.get("done", 0)), int(event.get("total", 0))
            job.listener.job_progressed(Progress(str(event.get("stage", "")), done, total, event.get("eta_s")))
        elif kind == "note":
            job.listener.job_noted(str(event.get("text", "")))
        elif kind in ("finished", "failed"):
            self._take_outcome(job, event)

    def _take_outcome(self, job: _Job, event: Mapping[str, Any]) -> None:
        self._running = None
        self._patience.stop()
        log = tuple(str(line) for line in event.get("log") or self._process.log)
        self._go_on()
        if event["event"] == "finished":
            job.listener.job_finished(event.get("result") or {}, event.get("files") or {})
            return
        # Not the sentence: it names files, and their names may be the patient's.
        _LOG.warning("Job %s failed: %s", job.id, event.get("kind"))
        sentence = str(event.get("message") or _("The scoring failed."))
        kind, details = str(event.get("kind") or ""), event.get("details") or {}
        job.listener.job_failed(Failure(sentence, kind, details, log))

    def _greet(self, event: Mapping[str, Any]) -> None:
        version = event.get("version")
        if event.get("protocol") != PROTOCOL_VERSION or version != self._expected_version:
            self._fail_all(
                Failure(
                    _(
                        "The scoring process is version {found}, but this panel is version {expected}; "
                        "remove the other copy of MemorySurvivalLib and restart Slicer."
                    ).format(found=version, expected=self._expected_version)
                )
            )
            return
        self._ready = True
        self._go_on()
