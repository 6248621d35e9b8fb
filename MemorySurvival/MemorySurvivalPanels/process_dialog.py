"""A short Python process waited for behind a dialog: Slicer goes on drawing, and the user can end it."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels import locations

_LONGEST_MS = 300_000


class ProcessGivenUp(Exception):
    """It could not be started, was cancelled, or took too long; the text says which, in a few words."""


@dataclass(frozen=True)
class EndedProcess:
    """What a process printed, complained of, and ended with."""

    output: str
    complaints: str
    exit_code: int


def run_python(arguments: Sequence[str], text: str, program: str | None = None) -> EndedProcess:
    """Run Slicer's own Python with the library on its path; the dialog shows `text`, and its button ends the process.

    Raises ProcessGivenUp where it cannot be started, is cancelled, or takes longer than five minutes.
    """
    program = program or shutil.which("PythonSlicer") or sys.executable
    path = [str(locations.library_root()), os.environ.get("PYTHONPATH", "")]
    settings = qt.QProcessEnvironment.systemEnvironment()
    settings.insert("PYTHONPATH", os.pathsep.join(filter(None, path)))
    settings.insert("PYTHONUTF8", "1")
    dialog = qt.QProgressDialog(text, _("Cancel"), 0, 0)
    dialog.setWindowTitle(_("Memory Survival"))
    dialog.setWindowModality(qt.Qt.ApplicationModal)
    dialog.setMinimumDuration(0)
    process = qt.QProcess()
    process.setProcessEnvironment(settings)
    # `python -m` and `-c` put the working folder before everything else on the import path.
    process.setWorkingDirectory(str(locations.library_root()))
    errors: list[int] = []

    def fail(error: int) -> None:
        errors.append(error)
        dialog.accept()

    process.finished.connect(lambda *_ignored: dialog.accept())
    process.errorOccurred.connect(fail)
    clock = qt.QTimer()
    clock.setSingleShot(True)
    clock.timeout.connect(dialog.reject)
    clock.start(_LONGEST_MS)
    process.start(program, list(arguments))
    if process.state() != qt.QProcess.NotRunning:
        dialog.exec()
    clock.stop()
    given_up = process.state() != qt.QProcess.NotRunning
    if given_up:
        process.kill()
        process.waitForFinished(5_000)
    dialog.delete()
    if given_up:
        raise ProcessGivenUp(_("it was cancelled or took too long"))
    if qt.QProcess.FailedToStart in errors:
        raise ProcessGivenUp(_("{program} cannot be started").format(program=program))
    output, complaints = (
        bytes(read().data()).decode(errors="replace")
        for read in (process.readAllStandardOutput, process.readAllStandardError)
    )
    return EndedProcess(output, complaints, int(process.exitCode()))
