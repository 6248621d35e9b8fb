"""The background job that reads a scored case again under small changes and adds what comes out to its result."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.score_job import name_files, score_job
from MemorySurvivalPanels.scored_cases import CT, RESULT, ScoredCase, amend_result, restore_files
from MemorySurvivalPanels.worker_protocol import Failure, Progress

NEEDED = ("result.json", "report.json")
"""Files without which a result cannot be amended; the stability is then kept in the scene alone."""

Ended = Callable[["StabilityJob", str, bool], None]
"""Is told once how the job ended: a sentence, empty where all is well, and whether it is a problem."""

Kept = Callable[[Any, Path], None]
"""Is told the CT of an amended result and the folder with its files, which is gone afterwards."""


class StabilityJob:
    """The stability of one result, measured while the user goes on; a JobListener."""

    kind = "stability"

    def __init__(
        self,
        desk: Desk,
        case: ScoredCase,
        progressed: Callable[[Progress], None],
        ended: Ended,
        kept: Kept,
    ) -> None:
        self.case = case
        self._desk = desk
        self._progressed = progressed
        self._ended = ended
        self._kept = kept
        self._folder: Path | None = None
        self._names: dict[str, str] = {}

    @property
    def there(self) -> bool:
        """Whether the scene still shows this result; a reader study covers it."""
        node = self.case.node
        return node.GetScene() is not None and node.GetAttribute(RESULT) is not None

    def start(self, parameters: ScoreParameters) -> None:
        """Hand the chosen case over, which has to be the one of the result. Raises UserError with one sentence."""
        self._folder = self._desk.scratch.new_folder()
        try:
            inputs, result = self._folder / "inputs", self._result
            inputs.mkdir()
            result.mkdir()
            confirmed = (self.case.result.get("request") or {}).get("confirm_identity") is True
            job = score_job(parameters, inputs, self._folder / "unused", confirm_identity=confirmed)
            restore_files(self.case, result)
        except UserError:
            self._clean()
            raise
        self._names = name_files(job, parameters)
        amended = str(result) if all((result / name).is_file() for name in NEEDED) else None
        job |= {"explain": False, "measure": False, "stability": True, "result": amended}
        self._desk.worker().submit(self.kind, job, self, background=True)

    def job_progressed(self, progress: Progress) -> None:
        """One step further."""
        self._progressed(progress)

    def job_noted(self, text: str) -> None:
        """The notes were shown with the score already."""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """Keep it with the result; where that is gone or covered, nothing is kept and nothing is told."""
        sentence = ""
        if self.there:
            try:
                case = amend_result(self.case, {**self.case.result, "stability": dict(result)}, self._result)
            except UserError as error:
                sentence = str(error)
            else:
                self._kept(case.of(CT), self._result)
        self._clean()
        self._ended(self, sentence, bool(sentence))

    def job_failed(self, failure: Failure) -> None:
        """The worker said why, or died."""
        self._clean()
        sentence = failure.sentence
        for path, name in self._names.items():
            sentence = sentence.replace(path, f'"{name}"')
        self._ended(self, sentence, True)

    def job_cancelled(self) -> None:
        """The user changed their mind."""
        self._clean()
        self._ended(self, _("Cancelled."), False)

    @property
    def _result(self) -> Path:
        assert self._folder is not None
        return self._folder / "result"

    def _clean(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
