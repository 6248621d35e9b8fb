"""What the jobs of every part share: a folder of their own, names instead of paths, and the way back to idle."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.worker_protocol import Failure, Progress


class PanelJob:
    """One job of the worker, from a click to its end; a JobListener. Parts say in a class of their own what it is."""

    kind = ""
    """The worker's name of the job."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.folder: Path | None = None
        self.names: dict[str, str] = {}
        """What the user calls the files that the worker may name in a sentence."""

    def describe(self, folder: Path) -> dict[str, Any]:
        """Write what the job needs into `folder` and return its parameters; UserError where that cannot be."""
        raise NotImplementedError

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Show what came out; the sentence to end with. UserError where it cannot be shown."""
        raise NotImplementedError

    def stop(self, failure: Failure | None) -> None:
        """The job ended without a result: it failed, or the user cancelled it (None)."""

    def start(self) -> None:
        """Hand the job to the worker; what stands in its way is shown in the panel."""
        self.desk.run_panel.show_running()
        try:
            self.folder = self.desk.scratch.new_folder()
            job = self.describe(self.folder)
        except UserError as error:
            self.job_failed(Failure(str(error)))
            return
        self.desk.worker().submit(self.kind, job, self)

    def job_progressed(self, progress: Progress) -> None:
        """One step further."""
        self.desk.run_panel.show_progress(progress)

    def job_noted(self, text: str) -> None:
        """A sentence for the user."""
        self.desk.run_panel.show_note(self.named(text))

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """The worker is done."""
        try:
            sentence, problem = self.finish(result, files), False
        except UserError as error:
            sentence, problem = str(error), True
        self._clean()
        self.desk.run_panel.show_idle(sentence, problem=problem)

    def job_failed(self, failure: Failure) -> None:
        """The worker said why, or died."""
        self._clean()
        self.desk.run_panel.show_idle(self.named(failure.sentence), problem=True, log=failure.log)
        self.stop(failure)

    def job_cancelled(self) -> None:
        """The user changed their mind."""
        self._clean()
        self.desk.run_panel.show_idle(_("Cancelled."))
        self.stop(None)

    def named(self, sentence: str) -> str:
        """The worker names files; the user knows their volumes by name."""
        for path, name in sorted(self.names.items(), key=lambda each: -len(each[0])):
            sentence = sentence.replace(path, f'"{name}"')
        return sentence

    def _clean(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
