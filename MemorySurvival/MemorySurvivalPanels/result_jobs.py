"""Jobs about results that are there already: two beside each other, one run again, a folder of them on one page."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.panel_job import PanelJob
from MemorySurvivalPanels.scored_cases import CT, PET, ScoredCase, restore_files
from MemorySurvivalPanels.volumes import ijk_to_world, write_image
from MemorySurvivalPanels.worker_protocol import Failure

RESULT_FILE = "result.json"


class CompareJob(PanelJob):
    """Lays another result, of the scene or of a folder, beside one; `done` is told the page."""

    kind = "compare"

    def __init__(
        self,
        desk: Desk,
        case: ScoredCase,
        other: ScoredCase | Path,
        names: tuple[str, str],
        done: Callable[[Path], None],
        doubted: Callable[[list[str]], None],
        *,
        confirmed: bool,
    ) -> None:
        super().__init__(desk)
        self._case = case
        self._other = other
        self._names = names
        self._done = done
        self._doubted = doubted
        self._confirmed = confirmed

    def describe(self, folder: Path) -> dict[str, Any]:
        """The other result first; the page outlives the job."""
        first = self._other if isinstance(self._other, Path) else unpack_result(self._other, folder / "first")
        second = unpack_result(self._case, folder / "second")
        self.names |= {str(folder / "first"): self._names[0], str(second): self._names[1]}
        return {
            "first": str(first),
            "second": str(second),
            "names": list(self._names),
            "out": str(self.desk.scratch.new_folder() / "differences.html"),
            "confirm_identity": self._confirmed,
        }

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Show the page."""
        page = files.get("page")
        if not page:
            raise UserError(_("The comparison came without a page; try again."))
        self._done(Path(page))
        return _("The differences are shown in the web browser.")

    def stop(self, failure: Failure | None) -> None:
        """Results that may be of two patients can be compared when a person says that they are of one."""
        if failure is not None and failure.kind == "PatientMismatch":
            self._doubted([str(each) for each in failure.details.get("differences") or [failure.sentence]])


class ReplayJob(PanelJob):
    """Runs a result again, with the images of the scene where those that it names are gone."""

    kind = "replay"

    def __init__(self, desk: Desk, case: ScoredCase, done: Callable[[str], None]) -> None:
        super().__init__(desk)
        self._case = case
        self._done = done

    def describe(self, folder: Path) -> dict[str, Any]:
        """The result as it is kept, and its images, which are known again by their content."""
        place = unpack_result(self._case, folder / "result")
        job: dict[str, Any] = {"result": str(place / RESULT_FILE)}
        recorded = self._case.result.get("request") or {}
        if not all(_is_there(recorded.get(name)) for name in ("ct", "pet")) and not _is_there(recorded.get("study")):
            images = folder / "images"
            images.mkdir()
            for role, name in ((CT, "CT"), (PET, "PET")):
                self._write_image(role, name, images)
            self.names[str(images)] = _("the images of this scene")
            job["images"] = str(images)
        return job

    def _write_image(self, role: str, name: str, folder: Path) -> None:
        node = self._case.of(role)
        if node is None or node.GetImageData() is None:
            raise UserError(_("The {what} of this result is no longer in the scene.").format(what=name))
        write_image(slicer.util.arrayFromVolume(node), ijk_to_world(node, name), folder)

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Say whether the same came out, and what is not as it was."""
        self._done(describe_replay(result))
        return _("The case was run again; what came out stands with the result.")


class OverviewJob(PanelJob):
    """Writes the page of a folder of results; `done` is told the page."""

    kind = "overview"

    def __init__(
        self, desk: Desk, parameters: Mapping[str, Any], done: Callable[[Path], None], ended: Callable[[], None]
    ) -> None:
        super().__init__(desk)
        self._parameters = dict(parameters)
        self._done = done
        self._ended = ended

    def describe(self, folder: Path) -> dict[str, Any]:
        """What the panel said."""
        return self._parameters

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Show the page."""
        page = Path(files.get("page") or self._parameters["out"])
        self._done(page)
        return _("The overview is shown in the web browser, and kept as {page}.").format(page=page)

    def stop(self, failure: Failure | None) -> None:
        """The job ended without a page."""
        self._ended()


def unpack_result(case: ScoredCase, folder: Path) -> Path:
    """The files of a result, in a new folder. UserError where the scene does not hold its record."""
    folder.mkdir()
    restore_files(case, folder)
    if not (folder / RESULT_FILE).is_file():
        raise UserError(_("The record of this result is not in the scene; score the case again."))
    return folder


def describe_replay(result: Mapping[str, Any]) -> str:
    """The verdict, and one line for everything that is not as it was."""
    sign = "⚠" if result.get("verdict") == "different" else "✓"
    causes = [str(each.get("sentence")) for each in result.get("causes") or ()]
    notes = [str(each) for each in result.get("notes") or ()]
    return "\n".join([f"{sign}  {result.get('sentence')}", *(f"•  {each}" for each in (*causes, *notes))])


def _is_there(path: Any) -> bool:
    return bool(path) and str(path) != "." and Path(str(path)).exists()
