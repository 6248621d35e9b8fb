"""The jobs behind "Explain": the case handed over once, how long it would take, and the explanation itself."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels import busy
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.display import add_map
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.explain_settings import explanation_settings
from MemorySurvivalPanels.explanation import FUSED, MAP_FILES, explanation_of_result, link_sisters
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.score_job import name_files, score_job
from MemorySurvivalPanels.scored_cases import CT, HEATMAP, RESULT, ScoredCase, amend_result, restore_files
from MemorySurvivalPanels.scored_inputs import read_inputs
from MemorySurvivalPanels.scratch import ScratchFolder
from MemorySurvivalPanels.worker_protocol import Failure, Progress

NEEDED = ("result.json", "report.json")
"""Files without which a result cannot be amended; the heatmap is then in the scene alone."""

Kept = Callable[[Any, Path], None]
"""Is told the CT of an amended result and the folder with its files, which is gone afterwards."""


class HandedCase:
    """The case's files for background jobs: written once, and again only when an image or a choice changed."""

    def __init__(self, scratch: ScratchFolder) -> None:
        self._scratch = scratch
        self._key: tuple[Any, ...] | None = None
        self._folder: Path | None = None
        self._job: dict[str, Any] = {}
        self.confirmed = False
        """Whether a person said, asked about exactly this case, that its images belong together."""

    def job(self, parameters: ScoreParameters) -> dict[str, Any]:
        """The parameters of a job on the case as it is now, without "out". Raises UserError with one sentence."""
        key = read_inputs(parameters).as_json(), parameters.allow_other_roi
        if key != self._key or self._folder is None or not self._folder.is_dir():
            self.forget()
            self._folder = self._scratch.new_folder()
            self._job = score_job(parameters, self._folder, self._folder)
            self._key = key
        job = {name: value for name, value in self._job.items() if name != "out"}
        # These change nothing about the files.
        job |= {"device": parameters.device.value, "explain": True, "measure": False, "stability": False}
        return {**job, "confirm_identity": self.confirmed, "explanation": explanation_settings(parameters)}

    def forget(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._key, self._folder, self._job, self.confirmed = None, None, {}, False


class EstimateJob:
    """Asks how much work an explanation would be; a failure only means that nobody knows."""

    kind = "explain_estimate"

    def __init__(self, done: Callable[["EstimateJob", Mapping[str, Any] | None], None]) -> None:
        self._done = done

    def job_progressed(self, progress: Progress) -> None:
        """An estimate takes no time worth showing."""

    def job_noted(self, text: str) -> None:
        """Notes stand with the result, not with an estimate."""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """Show it."""
        self._done(self, result)

    def job_failed(self, failure: Failure) -> None:
        """Explaining itself will say what is wrong."""
        self._done(self, None)

    def job_cancelled(self) -> None:
        """Another will be asked for."""
        self._done(self, None)


class ExplainJob:
    """One explanation in the background, of the case as it was when it was started; a JobListener.

    `scored` is the result that is explained: the worker puts the explanation into its files, and they go back into the
    scene. `progressed` and `ended` tell the panel how it goes: `ended` once, with the heatmap (None where there is
    none), a sentence, and the failure where there was one.
    """

    kind = "explain"

    def __init__(
        self,
        desk: Desk,
        parameters: ScoreParameters,
        scored: ScoredCase | None,
        progressed: Callable[[Progress], None],
        ended: Callable[["ExplainJob", slicer.vtkMRMLNode | None, str, Failure | None], None],
        kept: Kept = lambda ct, folder: None,
    ) -> None:
        self._desk = desk
        self._scored = scored
        self._kept = kept
        self._progressed = progressed
        self._ended = ended
        self._out: Path | None = None
        self._names: dict[str, str] = {}
        self._ct = parameters.ct
        self._ct_name = parameters.ct.GetName()
        self.inputs = read_inputs(parameters).as_json()

    @property
    def case_name(self) -> str:
        """What the user calls the case: its CT."""
        return self._ct_name

    def start(self, handed: HandedCase, parameters: ScoreParameters) -> None:
        """Hand the case over and queue the job. Raises UserError with one sentence."""
        job = handed.job(parameters)
        self._names = name_files(job, parameters)
        self._out = self._desk.scratch.new_folder()
        job |= {"out": str(self._out / "explanation"), "result": self._restore()}
        self._desk.worker().submit(self.kind, job, self, background=True)

    def job_progressed(self, progress: Progress) -> None:
        """One step further."""
        self._progressed(progress)

    def job_noted(self, text: str) -> None:
        """The notes were shown with the score already."""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """Load the maps; where a node went away meanwhile, say so."""
        node, sentence = None, ""
        try:
            node = self._load(result, files)
            self._keep(result, node)  # where that fails the heatmap is shown all the same
        except UserError as error:
            sentence = str(error)
        self._clean()
        self._ended(self, node, sentence, Failure(sentence) if sentence else None)

    def job_failed(self, failure: Failure) -> None:
        """The worker said why, or died."""
        self._clean()
        self._ended(self, None, self._with_names(failure.sentence), failure)

    def job_cancelled(self) -> None:
        """The user changed their mind; the library has kept what was finished."""
        self._clean()
        self._ended(self, None, _("Cancelled; what was finished is kept."), None)

    def _load(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> slicer.vtkMRMLNode:
        """All maps into the scene, each knowing the others; the fused one is handed back."""
        ct = self._ct
        if ct.GetScene() is None:
            raise UserError(
                _('The CT "{name}" was removed while it was explained; nothing is shown.').format(name=self._ct_name)
            )
        explanation = explanation_of_result(result, self.inputs)
        paths = {which: files.get(name) for which, name in MAP_FILES.items()}
        if len(explanation.modalities) == 1:  # the map of the only modality is the whole map
            paths = {which: path for which, path in paths.items() if which not in explanation.modalities}
        nodes: dict[str, slicer.vtkMRMLNode] = {}
        try:
            for which, path in paths.items():
                if path:
                    nodes[which] = add_map(Path(path), ct, explanation, which)
        except (OSError, RuntimeError) as error:
            for node in nodes.values():
                slicer.mrmlScene.RemoveNode(node)
            raise UserError(_("The heatmap cannot be read; explain the case again.")) from error
        if FUSED not in nodes:
            raise UserError(_("The explanation came without a heatmap; explain the case again."))
        link_sisters(nodes)
        return nodes[FUSED]

    @property
    def _result(self) -> Path:
        """Where the files of the result lie while it is explained."""
        assert self._out is not None
        return self._out / "result"

    def _restore(self) -> str | None:
        """The result's files for the worker; None where the scene does not hold them, as of an older version."""
        if self._scored is None:
            return None
        try:
            with busy.phase(_("Handing over the result")):
                self._result.mkdir()
                restore_files(self._scored, self._result)
        except (UserError, OSError):  # the heatmap can be looked at all the same
            return None
        return str(self._result) if all((self._result / name).is_file() for name in NEEDED) else None

    def _keep(self, result: Mapping[str, Any], node: slicer.vtkMRMLNode) -> None:
        """Put the amended result into the scene; nothing is told where it is gone, or covered by a reader study."""
        scored, amended = self._scored, result.get("amended")
        if scored is None or scored.node.GetScene() is None or scored.node.GetAttribute(RESULT) is None:
            return
        not_in_report = _("The heatmap is in the scene, but not in the report: {why}")
        if not amended:
            why = self._with_names(str(result.get("not_kept") or ""))
            if why:
                raise UserError(not_in_report.format(why=why))
            return
        told = {**scored.result, "heatmap": amended["heatmap"], "seconds": amended["seconds"]}
        try:
            case = amend_result(scored, told, self._result, amended["maps"])
        except UserError as error:
            raise UserError(not_in_report.format(why=error)) from error
        case.attach(HEATMAP, node)
        self._kept(case.of(CT), self._result)

    def _with_names(self, sentence: str) -> str:
        for path, name in self._names.items():
            sentence = sentence.replace(path, f'"{name}"')
        return sentence

    def _clean(self) -> None:
        if self._out is not None:
            shutil.rmtree(self._out, ignore_errors=True)
