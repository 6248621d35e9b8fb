"""The step "Model": which bundle scores the case."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels import locations
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.step import Step, StepState
from MemorySurvivalPanels.worker_protocol import Failure, Progress


class ModelPanel(Part):
    """Offers the bundles; it is the listener of the job that lists them. Where that fails, the shipped ones remain."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ui = desk.ui
        self._updating = False
        self._asked = False
        self.set_bundles(locations.shipped_bundles())
        desk.ui.bundleCombo.currentIndexChanged.connect(self._choose_bundle)

    def enter(self) -> None:
        """Ask the library once which model bundles there are, which also warms the worker up."""
        if not self._asked:
            self._asked = True
            self._desk.worker().submit("bundles", {}, self)

    def update(self) -> None:
        """Show the chosen bundle."""
        if not self._updating:
            self._updating = True
            try:
                self._show_bundle()
            finally:
                self._updating = False

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Model"."""
        return ui.modelSection, ui.modelNextLabel

    def step(self) -> Step | None:
        """Whether a bundle is chosen that is there."""
        if self.parameters is None:
            return None
        if not self.parameters.bundle:
            return Step(StepState.TO_DO, _("Choose a model bundle."))
        return Step(StepState.DONE)

    def set_bundles(self, names: list[str], statuses: Mapping[str, str] | None = None) -> None:
        """Offer these model bundles; each shows its status where that is known."""
        combo = self._ui.bundleCombo
        was_updating, self._updating = self._updating, True
        try:
            combo.clear()
            for name in names:
                status = (statuses or {}).get(name)
                combo.addItem(f"{name} ({status})" if status and status != name else name, name)
            self._show_bundle()
        finally:
            self._updating = was_updating

    def job_progressed(self, progress: Progress) -> None:
        """Listing bundles takes no time worth showing."""

    def job_noted(self, text: str) -> None:
        """Nothing to add to the list."""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """Offer what the library's registry found."""
        found = [each for each in result.get("bundles", []) if each.get("name")]
        if found:
            self.set_bundles(
                [str(each["name"]) for each in found],
                {str(each["name"]): str(each.get("status") or "") for each in found},
            )

    def job_failed(self, failure: Failure) -> None:
        """The shipped bundles stay on offer; Score will say what is wrong."""

    def job_cancelled(self) -> None:
        """The shipped bundles stay on offer."""

    def _show_bundle(self) -> None:
        """Select the chosen bundle; a saved scene or a script may name one that is not in the list."""
        combo = self._ui.bundleCombo
        chosen = self.parameters.bundle if self.parameters is not None else ""
        if chosen and combo.findData(chosen) < 0:
            there = Path(chosen).is_file()
            combo.addItem(Path(chosen).name if there else _("{name} (not installed)").format(name=chosen), chosen)
        combo.currentIndex = combo.findData(chosen)

    def _choose_bundle(self, *_ignored: Any) -> None:
        chosen = self._ui.bundleCombo.itemData(self._ui.bundleCombo.currentIndex) or ""
        if self.parameters is not None and not self._updating:
            self.parameters.bundle = chosen
