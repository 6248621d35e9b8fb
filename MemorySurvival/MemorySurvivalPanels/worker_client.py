"""The worker process: started when first needed, spoken to in JSON lines, ended with everything it started."""

import json
import logging
import os
import re
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
from MemorySurvivalPanels.worker_protocol import PROTOCOL_VERSION, Failure, JobListener, Progress, WorkerCommand

_LOG = logging.getLogger(__name__)

SILENCE_CHECK_MS = 5_000
SILENT_CHECKS_ALLOWED = 24
"""A worker beats every second; two minutes of nothing mean that it hangs. Counted in checks, not in seconds, so
that a viewer that was itself blocked does not blame the worker."""


def library_worker_command(library_root: Path, folder: Path) -> WorkerCommand:
    """The library's worker under Slicer's own Python (PythonSlicer), run in an empty `folder`.

    The folder matters because `python -m` puts it before everything else on the import path.
    """
    path = [str(library_root), os.environ.get("PYTHONPATH", "")]
    return WorkerCommand(
        program=shutil.which("PythonSlicer") or sys.executable,
        arguments=("-m", "MemorySurvivalLib.worker"),
        environment={
            "PYTHONPATH": os.pathsep.join(part for part in path if part),
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",
        },
        folder=folder,
    )


@dataclass(frozen=True)
class _Job:
    id: str
    line: bytes
    listener: JobListener


class WorkerClient:
    """Keeps one warm worker process; a WorkerProtocol.

    `command` is asked for each time a process starts; `expected_version` is the library version that it must be.
    """

    def __init__(self, command: Callable[[], WorkerCommand], expected_version: str) -> None:
        self._command = command
        self._expected_version = expected_version
        self._process: _Process | None = None
        self._ready = False
        self._running: _Job | None = None
        self._waiting: deque[_Job] = deque()
        self._count = 0

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return self._running is not None or bool(self._waiting)

    @property
    def process_ids(self) -> list[int]:
        """The worker's process numbers, as Qt and as the worker itself know them; empty where none runs."""
        return self._process.ids if self._process is not None else []

    def submit(self, job: str, parameters: Mapping[str, Any], listener: JobListener) -> None:
        """Do the job when those before it are done."""
        self._count += 1
        request = {"id": str(self._count), "job": job, "parameters": dict(parameters)}
        line = json.dumps(request).encode() + b"\n"
        self._waiting.append(_Job(str(self._count), line, listener))
        if self._process is None:
            self._start()
        self._send_next()

    def cancel(self) -> None:
        """Stop every job now; the listeners are told. The next job starts a fresh process."""
        jobs = self._drop_everything()
        for job in jobs:
            job.listener.job_cancelled()

    def close(self) -> None:
        """Stop every job now; nobody is told."""
        self._drop_everything()

    def _start(self) -> None:
        try:
            command = self._command()
        except UserError as error:
            self._fail(str(error))
            return
        self._ready = False
        self._process = _Process(command, self._handle, self._ended)

    def _send_next(self) -> None:
        if self._process is not None and self._ready and self._running is None and self._waiting:
            self._running = self._waiting.popleft()
            self._process.write(self._running.line)

    def _drop_everything(self) -> list[_Job]:
        process, self._process = self._process, None
        jobs = [*([self._running] if self._running else []), *self._waiting]
        self._running = None
        self._waiting.clear()
        if process is not None:
            process.kill()
        return jobs

    def _fail(self, sentence: str) -> None:
        """End with the process whatever was asked of it: the cause concerns every waiting job alike."""
        for job in self._drop_everything():
            job.listener.job_failed(Failure(sentence))

    def _ended(self, how: str) -> None:
        if self.busy:
            self._fail(how)
        else:  # a worker leaves by itself after idle minutes
            self._process = None

    def _handle(self, event: Mapping[str, Any]) -> None:
        kind = event.get("event")
        if kind == "ready":
            self._greet(event)
        elif kind == "heartbeat" or self._running is None or event.get("id") != self._running.id:
            return
        elif kind == "progress":
            self._running.listener.job_progressed(
                Progress(
                    str(event.get("stage", "")),
                    int(event.get("done", 0)),
                    int(event.get("total", 0)),
                    event.get("eta_s"),
                )
            )
        elif kind == "note":
            self._running.listener.job_noted(str(event.get("text", "")))
        elif kind in ("finished", "failed"):
            job, self._running = self._running, None
            self._send_next()
            if kind == "finished":
                job.listener.job_finished(event.get("result") or {}, event.get("files") or {})
            else:
                _LOG.warning("Job %s failed: %s", job.id, event)
                sentence = str(event.get("message") or _("The scoring failed."))
                job.listener.job_failed(Failure(sentence, str(event.get("kind") or ""), event.get("details") or {}))

    def _greet(self, event: Mapping[str, Any]) -> None:
        version = event.get("version")
        if event.get("protocol") != PROTOCOL_VERSION or version != self._expected_version:
            self._fail(
                _(
                    "The scoring process is version {found}, but this panel is version {expected}; "
                    "remove the other copy of MemorySurvivalLib and restart Slicer."
                ).format(found=version, expected=self._expected_version)
            )
            return
        self._ready = True
        self._send_next()


class _Process:
    """One worker process from its start to its end. After kill() it never calls back."""

    def __init__(
        self,
        command: WorkerCommand,
        handle: Callable[[Mapping[str, Any]], None],
        ended: Callable[[str], None],
    ) -> None:
        self._command = command
        self._handle = handle
        self._ended = ended
        self._open = True
        self._pending = b""
        self._complaints: deque[str] = deque(maxlen=50)
        self._own_id: int | None = None
        self._silent_checks = 0

        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, text in command.environment.items():
            environment.insert(name, text)
        self._process = qt.QProcess()
        self._process.setProcessEnvironment(environment)
        if command.folder is not None:
            self._process.setWorkingDirectory(str(command.folder))
        self._process.readyReadStandardOutput.connect(self._read_output)
        self._process.readyReadStandardError.connect(self._read_complaints)
        self._process.finished.connect(self._on_finished)
        self._process.errorOccurred.connect(self._on_error)
        self._watchdog = qt.QTimer()
        self._watchdog.setInterval(SILENCE_CHECK_MS)
        self._watchdog.timeout.connect(self._check_silence)
        self._watchdog.start()
        # Qt gives a console program no window when its parent has none, so nothing flashes up on Windows.
        self._process.start(command.program, list(command.arguments))

    @property
    def ids(self) -> list[int]:
        known = [int(self._process.processId()), self._own_id or 0]
        return sorted({number for number in known if number > 0})

    def write(self, line: bytes) -> None:
        self._process.write(line)

    def kill(self) -> None:
        """End the process with everything it started and forget it."""
        self._open = False
        self._watchdog.stop()
        if self._process.state() != qt.QProcess.NotRunning:
            from MemorySurvivalLib.processes import kill_tree

            for number in self.ids:
                kill_tree(number)
            self._process.waitForFinished(5_000)
        # This may run inside one of the process's own signals, and Qt must not lose an object that is speaking.
        _RETIRED.append(self)
        qt.QTimer.singleShot(0, _RETIRED.clear)

    def _read_output(self) -> None:
        self._pending += bytes(self._process.readAllStandardOutput().data())
        *lines, self._pending = self._pending.split(b"\n")
        for line in lines:
            self._silent_checks = 0
            if self._open and line.strip():
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            _LOG.warning("The scoring process wrote a line that is not JSON: %r", line[:200])
            return
        if not isinstance(event, dict):
            _LOG.warning("The scoring process wrote a line that is not an event: %r", line[:200])
            return
        if event.get("event") == "ready":
            self._own_id = int(event.get("pid") or 0)
        self._handle(event)

    def _read_complaints(self) -> None:
        text = bytes(self._process.readAllStandardError().data()).decode(errors="replace")
        for line in text.splitlines():
            self._complaints.append(line)
            _LOG.info("worker: %s", line)

    def _check_silence(self) -> None:
        self._silent_checks += 1
        if self._open and self._silent_checks > SILENT_CHECKS_ALLOWED:
            self._end(_("The scoring process stopped answering and was ended; try again."))

    def _on_error(self, error: Any) -> None:
        if error == qt.QProcess.FailedToStart:
            self._end(
                _("The scoring process cannot be started with {program}; install the extension again.").format(
                    program=self._command.program
                )
            )

    def _on_finished(self, *_ignored: Any) -> None:
        if not self._open:  # killed: nobody wants to hear of its end
            return
        self._read_output()
        self._read_complaints()
        missing = re.search(r"No module named '([\w.]+)'", "\n".join(self._complaints))
        if missing and self._own_id is None:
            self._end(
                _(
                    'The scoring process needs the Python package "{package}", which is not installed; '
                    "see Installation in the documentation."
                ).format(package=missing.group(1).partition(".")[0])
            )
            return
        _LOG.error("The scoring process ended: %s", "\n".join(self._complaints))
        self._end(
            _(
                "The scoring process stopped unexpectedly (exit code {code}); "
                "the application log says more, and Score starts it again."
            ).format(code=self._process.exitCode())
        )

    def _end(self, how: str) -> None:
        if self._open:
            self.kill()
            self._ended(how)


_RETIRED: list[_Process] = []
"""Processes that have ended, kept until the event loop has left their signals."""
