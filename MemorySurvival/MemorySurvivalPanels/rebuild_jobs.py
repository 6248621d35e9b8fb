"""The worker's jobs behind "A model for other weights": how long it takes, and making it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.panel_job import PanelJob
from MemorySurvivalPanels.worker_protocol import Failure


class EstimateJob(PanelJob):
    """Loads the weights and measures a phantom and a few slices; `done` gets the answer once the panel is idle."""

    kind = "rebuild_estimate"

    def __init__(
        self,
        desk: Desk,
        sha256: str,
        cases: int,
        device: str,
        done: Callable[[str, int, Mapping[str, Any]], None],
    ) -> None:
        super().__init__(desk)
        self._parameters = {"weights": sha256, "cases": cases, "device": device}
        self._done = done

    def describe(self, folder: Path) -> dict[str, Any]:
        """What the panel said."""
        return self._parameters

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Nothing is shown yet."""
        return ""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """The panel is idle first, so that what follows may start a job."""
        super().job_finished(result, files)
        self._done(self._parameters["weights"], self._parameters["cases"], result)


class RebuildJob(PanelJob):
    """Makes the model; cancelled or interrupted, the next time goes on where it stopped."""

    kind = "rebuild_bundle"

    def __init__(
        self,
        desk: Desk,
        sha256: str,
        cases: int,
        device: str,
        chosen: Callable[[str, Sequence[Mapping[str, Any]]], None],
    ) -> None:
        super().__init__(desk)
        self._parameters = {"weights": sha256, "cases": cases, "device": device}
        self._chosen = chosen

    def describe(self, folder: Path) -> dict[str, Any]:
        """What the panel said."""
        return self._parameters

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Offer and choose it."""
        name = str(result.get("name") or "")
        self._chosen(name, result.get("bundles") or [])
        return _('The model "{name}" is ready and chosen. Its heads learned from simulated patients only.').format(
            name=name
        )

    def stop(self, failure: Failure | None) -> None:
        """What was done so far is kept."""
        if failure is None:
            self.desk.run_panel.show_idle(_("Stopped. Started again, it goes on where it was."))
