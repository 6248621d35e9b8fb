"""One worker process from its start to its end: JSON lines both ways, a watch over its beats, and how it ended."""

import json
import logging
import re
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.worker_protocol import WorkerCommand

_LOG = logging.getLogger(__name__)

SILENCE_CHECK_MS = 5_000
SILENT_CHECKS_ALLOWED = 24
"""A worker beats every second; two minutes of nothing mean that it hangs. Counted in checks, not in seconds, so
that a viewer that was itself blocked does not blame the worker."""

KEPT_LINES = 200
GONE_AT_LATEST_MS = 250
"""A killed process is waited for this long before its end is taken for granted."""


@dataclass(frozen=True)
class End:
    """How a process ended: a sentence for the user, its last lines, and whether it left of its own accord."""

    sentence: str
    log: tuple[str, ...] = ()
    regular: bool = False


class WorkerProcess:
    """Hands events to `handle` and its own end to `ended`, once. After kill() neither is called."""

    def __init__(
        self, command: WorkerCommand, handle: Callable[[Mapping[str, Any]], None], ended: Callable[[End], None]
    ) -> None:
        self._command = command
        self._handle = handle
        self._ended = ended
        self._open = True
        self._pending = bytearray()
        self._said: deque[str] = deque(maxlen=KEPT_LINES)
        self._own_id: int | None = None
        self._silent_checks = 0
        self._tell_gone: Callable[[], None] | None = None

        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, text in command.environment.items():
            environment.insert(name, text)
        self._process = qt.QProcess()
        self._process.setProcessEnvironment(environment)
        if command.folder is not None:
            self._process.setWorkingDirectory(str(command.folder))
        self._process.readyReadStandardOutput.connect(self._read_output)
        self._process.readyReadStandardError.connect(self._read_log)
        self._process.finished.connect(self._on_finished)
        self._process.errorOccurred.connect(self._on_error)
        self._watchdog = qt.QTimer()
        self._watchdog.setInterval(SILENCE_CHECK_MS)
        self._watchdog.timeout.connect(self._check_silence)
        self._gone_at_latest = qt.QTimer()
        self._gone_at_latest.setSingleShot(True)
        self._gone_at_latest.timeout.connect(self._gone)

    def start(self) -> None:
        """Begin; where that fails `ended` is called, possibly before this returns."""
        self._watchdog.start()
        # Qt gives a console program no window when its parent has none, so nothing flashes up on Windows.
        self._process.start(self._command.program, list(self._command.arguments))

    @property
    def ids(self) -> list[int]:
        """Its process numbers, as Qt and as the worker itself know them; empty where it does not run."""
        known = [int(self._process.processId()), self._own_id or 0]
        return sorted({number for number in known if number > 0})

    @property
    def log(self) -> tuple[str, ...]:
        """The last lines that it wrote to its log, oldest first."""
        return tuple(self._said)

    def write(self, line: bytes) -> None:
        """Send one line."""
        self._process.write(line)

    def kill(self, gone: Callable[[], None] | None = None) -> None:
        """End the process with everything it started, without waiting for it; `gone` is called when that is done."""
        self._tell_gone = gone
        self._retire()
        if self._process.state() == qt.QProcess.NotRunning:
            self._gone_at_latest.start(0)
            return
        from MemorySurvivalLib.processes import kill_tree

        for number in self.ids:
            kill_tree(number)
        self._gone_at_latest.start(GONE_AT_LATEST_MS)

    def wait(self) -> None:
        """Let a killed process end; its folder goes with it."""
        self._process.waitForFinished(5_000)
        self._remove_folder()

    def _retire(self) -> None:
        """Hear nothing more of it, but keep it: this may run inside one of its own signals."""
        self._open = False
        self._watchdog.stop()
        if self not in _RETIRED:
            _RETIRED.append(self)

    def _gone(self) -> None:
        self._gone_at_latest.stop()
        tell, self._tell_gone = self._tell_gone, None
        if self._process.state() == qt.QProcess.NotRunning:
            self._remove_folder()
            qt.QTimer.singleShot(0, self._release)
        if tell is not None:
            tell()

    def _release(self) -> None:
        if self in _RETIRED:
            _RETIRED.remove(self)

    def _remove_folder(self) -> None:
        if self._command.folder is not None:
            shutil.rmtree(self._command.folder, ignore_errors=True)

    def _read_output(self) -> None:
        chunk = bytes(self._process.readAllStandardOutput().data())
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = bytes(self._pending) + lines[0]
            self._pending.clear()
        self._pending += rest
        if chunk:
            self._silent_checks = 0
        for line in lines:
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

    def _read_log(self) -> None:
        text = bytes(self._process.readAllStandardError().data()).decode(errors="replace")
        for line in text.splitlines():
            self._said.append(line)
            _LOG.info("worker: %s", line)

    def _check_silence(self) -> None:
        self._silent_checks += 1
        if self._open and self._silent_checks > SILENT_CHECKS_ALLOWED:
            self.kill()
            self._ended(End(_("The scoring process stopped answering and was ended; try again."), self.log))

    def _on_error(self, error: Any) -> None:
        if error == qt.QProcess.FailedToStart and self._open:
            sentence = _("The scoring process cannot be started with {program}; install the extension again.")
            self._finish(End(sentence.format(program=self._command.program), self.log))

    def _on_finished(self, *_ignored: Any) -> None:
        self._read_output()
        self._read_log()
        if self._open:
            self._finish(self._describe_end())
        else:  # killed: nobody wants to hear how
            self._gone()

    def _finish(self, end: End) -> None:
        self._retire()
        self._gone()
        self._ended(end)

    def _describe_end(self) -> End:
        code, log = self._process.exitCode(), self.log
        missing = re.search(r"No module named '([\w.]+)'", "\n".join(log))
        if missing and self._own_id is None:
            sentence = _(
                'The scoring process needs the Python package "{package}", which is not installed; '
                "press Check and repair under Installation."
            ).format(package=missing.group(1).partition(".")[0])
            return End(sentence, log)
        crashed = self._process.exitStatus() == qt.QProcess.CrashExit
        if code == 0 and not crashed:
            return End(_("The scoring process ended before its work was done; try again."), log, regular=True)
        _LOG.error("The scoring process ended (%s): %s", code, "\n".join(log))
        if crashed and sys.platform != "win32" and code == signal.SIGKILL:
            sentence = _(
                "The scoring process was ended by the system, most likely because the memory of this computer is used "
                "up; close other programs or images and try again."
            )
            return End(sentence, log)
        sentence = _(
            "The scoring process stopped unexpectedly (exit code {code}); "
            "the application log says more, and Score starts it again."
        ).format(code=code)
        return End(sentence, log)


def end_retired() -> None:
    """Wait for the processes that were killed and are still on their way out."""
    for process in list(_RETIRED):
        process.wait()


_RETIRED: list[WorkerProcess] = []
"""Processes that have ended, kept until the event loop has left their signals and Qt has seen their end."""
