"""The jobs behind "Explain": the case handed over once, how long it would take, and the explanation itself."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.display import add_map
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.explain_settings import explanation_settings
from MemorySurvivalPanels.explanation import FUSED, MAP_FILES, explanation_of_result, link, link_sisters
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.score_job import chosen_inputs, chosen_run, name_files, score_job
from MemorySurvivalPanels.scratch import ScratchFolder
from MemorySurvivalPanels.volumes import ijk_to_world
from MemorySurvivalPanels.worker_protocol import Failure, Progress


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
        key = _fingerprint(parameters)
        if key != self._key or self._folder is None or not self._folder.is_dir():
            self.forget()
            self._folder = self._scratch.new_folder()
            self._job = score_job(parameters, self._folder, self._folder)
            self._key = key
        job = {name: value for name, value in self._job.items() if name != "out"}
        # These change nothing about the files.
        job |= {"device": parameters.device.value, "explain": True, "measure": False}
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

    `progressed` and `ended` tell the panel how it goes: `ended` once, with the heatmap (None where there is none), a
    sentence, and the failure where there was one.
    """

    kind = "explain"

    def __init__(
        self,
        desk: Desk,
        parameters: ScoreParameters,
        progressed: Callable[[Progress], None],
        ended: Callable[["ExplainJob", slicer.vtkMRMLNode | None, str, Failure | None], None],
    ) -> None:
        self._desk = desk
        self._progressed = progressed
        self._ended = ended
        self._out: Path | None = None
        self._names: dict[str, str] = {}
        self._nodes = {"ct": parameters.ct, "pet": parameters.pet, "roi": parameters.roi}
        self._ct_name = parameters.ct.GetName()
        self.inputs = chosen_inputs(parameters)
        self.run = chosen_run(parameters)

    @property
    def case_name(self) -> str:
        """What the user calls the case: its CT."""
        return self._ct_name

    def start(self, handed: HandedCase, parameters: ScoreParameters) -> None:
        """Hand the case over and queue the job. Raises UserError with one sentence."""
        job = handed.job(parameters)
        self._names = name_files(job, parameters)
        self._out = self._desk.scratch.new_folder()
        self._desk.worker().submit(self.kind, {**job, "out": str(self._out / "explanation")}, self, background=True)

    def job_progressed(self, progress: Progress) -> None:
        """One step further."""
        self._progressed(progress)

    def job_noted(self, text: str) -> None:
        """The notes were shown with the score already."""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """Load the maps; where a node went away meanwhile, say so."""
        node, sentence, failure = None, "", None
        try:
            node = self._load(result, files)
        except UserError as error:
            sentence, failure = str(error), Failure(str(error))
        self._clean()
        self._ended(self, node, sentence, failure)

    def job_failed(self, failure: Failure) -> None:
        """The worker said why, or died."""
        self._clean()
        sentence = failure.sentence
        for path, name in self._names.items():
            sentence = sentence.replace(path, f'"{name}"')
        self._ended(self, None, sentence, failure)

    def job_cancelled(self) -> None:
        """The user changed their mind; the library has kept what was finished."""
        self._clean()
        self._ended(self, None, _("Cancelled; what was finished is kept."), None)

    def _load(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> slicer.vtkMRMLNode:
        """All maps into the scene, each knowing the others and what it was made of; the fused one is handed back."""
        ct = self._nodes["ct"]
        if ct is None or ct.GetScene() is None:
            raise UserError(
                _('The CT "{name}" was removed while it was explained; nothing is shown.').format(name=self._ct_name)
            )
        made_of = [name for name, node in self._nodes.items() if node is not None]
        explanation = explanation_of_result(result, self.run[_NODES_IN_RUN:], made_of)
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
        for node in nodes.values():
            link(node, self._nodes)
        link_sisters(nodes)
        return nodes[FUSED]

    def _clean(self) -> None:
        if self._out is not None:
            shutil.rmtree(self._out, ignore_errors=True)


_NODES_IN_RUN = 3
"""`chosen_run` begins with the identifiers of CT, PET and region; a heatmap remembers these as node references."""


def run_without_nodes(parameters: ScoreParameters) -> tuple[str, ...]:
    """Everything chosen that can change a number, but for the nodes."""
    return chosen_run(parameters)[_NODES_IN_RUN:]


def _fingerprint(parameters: ScoreParameters) -> tuple[Any, ...]:
    """What the files of a case depend on: which nodes, their voxels, their places, and the other choices."""
    parts: list[Any] = [chosen_run(parameters), parameters.allow_other_roi]
    for node in (parameters.ct, parameters.pet, parameters.roi):
        if node is None:
            continue
        if node.IsA("vtkMRMLSegmentationNode"):
            segment = node.GetSegmentation().GetSegment(parameters.segment_id)
            voxels = segment.GetRepresentation("Binary labelmap") if segment is not None else None
            parts.append((node.GetSegmentation().GetMTime(), voxels.GetMTime() if voxels is not None else 0))
            transform = node.GetParentTransformNode()
            parts.append(transform.GetTransformToWorldMTime() if transform is not None else 0)
        elif node.GetImageData() is not None:
            parts.append((node.GetImageData().GetMTime(), ijk_to_world(node, node.GetName()).tobytes()))
    if parameters.covariates and Path(parameters.covariates).is_file():
        parts.append(Path(parameters.covariates).stat().st_mtime_ns)
    return tuple(parts)
