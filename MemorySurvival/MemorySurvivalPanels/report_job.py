"""The jobs of the section "Report": an export, and sending again what waits."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels import busy
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.dicom_source import dicom_file
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.panel_job import PanelJob
from MemorySurvivalPanels.report_choices import ExportChoices
from MemorySurvivalPanels.scene_copy import list_identifiers, write_scene_copy
from MemorySurvivalPanels.scored_cases import CT, HEATMAP, PET, ScoredCase
from MemorySurvivalPanels.volumes import ijk_to_world, volume_file, write_image
from MemorySurvivalPanels.worker_protocol import Failure


class ExportJob(PanelJob):
    """Hands a copy of the result to the worker, with what the person chose and what they found."""

    kind = "export"

    def __init__(
        self,
        desk: Desk,
        case: ScoredCase,
        report: Path,
        choices: ExportChoices,
        findings: Mapping[str, Any] | None,
        done: Callable[[dict[str, Any]], None],
        *,
        overwrite: bool,
    ) -> None:
        super().__init__(desk)
        self._case = case
        self._report = report
        self._choices = choices
        self._findings = findings
        self._done = done
        self._overwrite = overwrite

    def describe(self, folder: Path) -> dict[str, Any]:
        """The result's files in the job's own folder, and where its images are."""
        choices, ct, pet = self._choices, self._case.of(CT), self._case.of(PET)
        result = folder / "result"
        try:
            with busy.phase(_("Handing over the result")):
                shutil.copytree(self._report.parent, result)
                add_heatmap(self._case, result)
        except OSError as error:
            raise UserError(_("The files of this result are no longer there; score the case again.")) from error
        scene = folder / "scene.mrb" if choices.scene and choices.to_folder else None
        if scene is not None:
            write_scene_copy(self._case, scene)
        found = dicom_file(ct)
        sources = None if found is None else {"ct": str(found), "pet": _text(dicom_file(pet))}
        head = None
        if choices.leave_head_out and ct is not None:
            head = str(found or volume_file(ct, "CT", folder))
            self.names[head] = ct.GetName()
        return {
            "folder": str(result),
            "scratch": str(folder),
            "out": choices.folder if choices.to_folder else None,
            "formats": list(choices.formats) if choices.to_folder else [],
            "objects": list(choices.objects),
            "paper": choices.paper,
            "identity": choices.identity,
            "pseudonym": choices.pseudonym or None,
            **{name: name in choices.data and choices.to_folder for name in ("volumes", "tables", "record")},
            "scene": _text(scene),
            "scene_identifiers": list_identifiers(self._case) if scene is not None else [],
            "leave_head_out": choices.leave_head_out,
            "ct": head,
            "sources": sources,
            "findings": self._findings,
            "overwrite": self._overwrite,
            "node": choices.node or None,
            "token": choices.token or None,
        }

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Say what was written and sent."""
        self._done(dict(result))
        sent = result.get("sent")
        if sent and sent["left"]:
            raise UserError(str(sent["sentence"]))
        return _("The export is done.")

    def stop(self, failure: Failure | None) -> None:
        """A send that broke off may have left something in the outbox."""
        self._done({})


class ResendJob(PanelJob):
    """Sends what waits in the outbox."""

    kind = "resend"

    def __init__(self, desk: Desk, done: Callable[[], None]) -> None:
        super().__init__(desk)
        self._done = done

    def describe(self, folder: Path) -> dict[str, Any]:
        """Everything that waits."""
        return {}

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Say where each send stands now."""
        self._done()
        sends = result.get("sends") or []
        said = "\n".join(str(each["sentence"]) for each in sends)
        if any(each["left"] for each in sends):
            raise UserError(said)
        return said or _("Nothing waits in the outbox.")

    def stop(self, failure: Failure | None) -> None:
        """Some may have gone."""
        self._done()


def add_heatmap(case: ScoredCase, place: Path) -> None:
    """A heatmap that was too large to be kept as a file is written from its volume. Raises OSError, UserError."""
    node, name = case.of(HEATMAP), case.files.get("heatmap")
    if node is None or name is None or (place / name).is_file() or node.GetImageData() is None:
        return
    written = write_image(slicer.util.arrayFromVolume(node), ijk_to_world(node, _("heatmap")), place)
    written.rename(place / name)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
